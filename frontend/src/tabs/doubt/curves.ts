// What happens when the picture is put in, or taken out, in the order of the map; drawn while it is computed.

import type { CurveLine, Curves, Walked } from "../../api";
import { fill, h } from "../../dom";
import { percent } from "../../maps";
import type { Page } from "../../page";
import { slider } from "../../parts/controls";
import { Task } from "../../parts/task";
import { decoded, type Now, type Part, portion } from "./part";
import { ranked, WalkPlot } from "./walk";

/** Points of all six curves. */
const RUNS = 174;
const UNASKED = 8;

interface Walk {
  steps: number;
  seen: ImageData;
  substrate: ImageData;
  first: Uint8Array;
}

export function curves(page: Page): Part {
  const task = new Task(page, "Taking the picture apart");
  const start = h("div", { class: "start" });
  const outcome = h("p", { class: "outcome", "aria-live": "polite" });
  const steps = (): number => walk?.steps ?? 28;
  const insertion = new WalkPlot(
    "insertion",
    steps,
    "Insertion",
    "Into a blurred picture the pixels are put back, those that the map marks most first. A good map brings the class back early: a large area.",
  );
  const deletion = new WalkPlot(
    "deletion",
    steps,
    "Deletion",
    "From the picture the pixels are blurred away in the same order. A good map loses the class early: a small area.",
  );
  const plots = [insertion, deletion];
  const stills = plots.map((plot) => h("canvas", { role: "img", width: 1, height: 1, "aria-label": plot.kind }));
  const captions = plots.map(() => h("figcaption"));
  const scrub = slider("Share of the picture that has gone, or come", { min: 0, max: 28, step: 1 }, mark, (point) =>
    portion(point / steps()),
  );
  const shown = h(
    "div",
    { class: "hidden" },
    outcome,
    h("div", { class: "plots" }, ...plots.map((plot) => plot.element)),
    h(
      "section",
      { class: "card" },
      h("h3", {}, "What the network is shown there"),
      scrub.element,
      h("div", { class: "stills" }, ...stills.map((canvas, i) => h("figure", {}, canvas, captions[i]))),
      h("p", { class: "note" }, "Move along a curve, or along this line, to see the picture at that point."),
    ),
  );
  const element = h("div", { class: "curves" }, start, task.element, shown);
  let walk: Walk | null = null;
  let now: Now | null = null;
  let shownFor = "";
  let running = "";

  for (const plot of plots) plot.onpoint = (share) => walk && mark(Math.round(share * steps()));

  const cost = (one: Now): number => (one.slow ? one.answer.seconds : 0) + (one.answer.seconds * RUNS) / (one.slow ? 500 : 1.6);

  async function run(): Promise<void> {
    if (!now) return;
    const mine = (running = JSON.stringify(now.doubt));
    fill(start);
    plots.forEach((plot) => plot.clear());
    const heard = (name: string, content: unknown): void => {
      if (running !== mine) return;
      if (name === "walked") void begin(content as Walked, mine);
      if (name === "points") add(content as CurveLine);
    };
    const made = await task.run<Curves>("/api/curves", now.doubt, heard);
    if (running !== mine) return;
    if (!made) {
      running = "";
      return offer();
    }
    await begin(made.walked, mine);
    if (running !== mine) return;
    running = "";
    shownFor = mine;
    made.lines.forEach(add);
    mark(Number(scrub.input.value));
    tell();
    element.dataset.insertion = String(insertion.area("map"));
    element.dataset.deletion = String(deletion.area("map"));
  }

  function offer(): void {
    const seconds = Math.max(1, Math.round(cost(now!)));
    fill(
      start,
      h("p", {}, `How fast does the class come and go in the order of the map? ${RUNS} runs of the network, some ${seconds} s here.`),
      h("button", { class: "main", onclick: () => void run() }, "Draw the curves"),
    );
  }

  async function begin(walked: Walked, mine: string): Promise<void> {
    if (walk && shown.dataset.of === mine) return;
    shown.dataset.of = mine;
    const [seen, substrate] = await Promise.all([decoded(walked.seen), decoded(walked.substrate)]);
    if (running !== mine) return;
    const first = Uint8Array.from(atob(walked.order.first), (letter) => letter.charCodeAt(0));
    walk = { steps: walked.steps, seen: pixels(seen), substrate: pixels(substrate), first };
    scrub.input.max = String(walked.steps);
    shown.classList.remove("hidden");
    mark(Math.round(walked.steps / 4));
  }

  function add(line: CurveLine): void {
    (line.kind === "insertion" ? insertion : deletion).add(line);
  }

  function tell(): void {
    const words = ([insertion, deletion] as const).map((plot) => {
      const others = ["centre", "random"].map((of) => plot.area(of)!);
      return `${plot.kind} ${plot.area("map")!.toFixed(3)}: ${ranked(plot.area("map")!, others, plot === insertion)}`;
    });
    fill(outcome, `Areas under the curves: ${words.join("; ")}.`);
  }

  /** Show one point: on both plots, and what the network was given there. */
  function mark(point: number): void {
    if (!walk) return;
    scrub.set(point);
    plots.forEach((plot, i) => {
      plot.mark(point);
      compose(stills[i]!, walk!, point, plot.kind === "insertion");
      const value = plot.at(point);
      const share = portion(point / walk!.steps);
      const what = plot.kind === "insertion" ? `${share} put in` : `${share} taken out`;
      const words = `${what}: ${now?.made.target ?? "the class"} ${value === undefined ? "…" : percent(value)}`;
      stills[i]!.setAttribute("aria-label", words);
      fill(captions[i]!, words);
    });
  }

  return {
    name: "curves",
    title: "Curves",
    element,
    show(next) {
      const about = JSON.stringify(next.doubt);
      now = next;
      if (about === shownFor || about === running) return;
      task.stop();
      shown.classList.add("hidden");
      shown.dataset.of = "";
      fill(outcome);
      shownFor = running = "";
      delete element.dataset.insertion;
      if (cost(next) <= UNASKED) void run();
      else offer();
    },
    paint: () => {},
    hide() {
      if (running) shown.classList.add("hidden");
      running = "";
      task.stop();
    },
  };
}

function pixels(image: HTMLImageElement): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** The network's input at a point: what has gone by then shows the substrate; put in, all that has not yet come. */
function compose(canvas: HTMLCanvasElement, walk: Walk, point: number, gains: boolean): void {
  const { width, height } = walk.seen;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
    canvas.classList.toggle("tiny", Math.max(width, height) <= 96);
  }
  const made = new ImageData(width, height);
  for (let i = 0; i < walk.first.length; i++) {
    const from = walk.first[i]! <= point === gains ? walk.seen : walk.substrate;
    for (let c = 0; c < 3; c++) made.data[4 * i + c] = from.data[4 * i + c]!;
    made.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d")!.putImageData(made, 0, 0);
}
