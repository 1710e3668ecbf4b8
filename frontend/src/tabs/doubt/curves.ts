// What happens when the picture is put in, or taken out, in the order of the map; drawn while it is computed.

import { decodeImage } from "../../api/images";
import { fill, h } from "../../dom";
import { bytes } from "../../maps/packed";
import { percent, portion } from "../../numbers";
import { slider } from "../../parts/controls";
import { photoPixels as pixels } from "../../shared/photo";
import { Long } from "./long";
import type { Now, Part } from "./part";
import { ranked, WalkPlot } from "./walk";
import type { CurveLine, WalkCurves, Walked } from "./wire";

/** Points of all six curves. */
const RUNS = 174;

interface Walk {
  steps: number;
  seen: ImageData;
  substrate: ImageData;
  first: Uint8Array;
}

export function curves(): Part {
  const outcome = h("p", { class: "outcome", "aria-live": "polite" });
  const steps = (): number => walk?.steps ?? 28;
  const insertion = new WalkPlot(
    "insertion",
    steps,
    "Insertion",
    "Pixels are inserted into a blurred image in descending order of the map. A good map restores the class early: the area is large.",
  );
  const deletion = new WalkPlot(
    "deletion",
    steps,
    "Deletion",
    "Pixels are blurred in the same order. With a good map the probability drops early: the area is small.",
  );
  const plots = [insertion, deletion];
  const stills = plots.map((plot) => h("canvas", { role: "img", width: 1, height: 1, "aria-label": plot.kind }));
  const captions = plots.map(() => h("figcaption"));
  const scrub = slider("Fraction of the pixels that are removed or inserted", { min: 0, max: 28, step: 1 }, mark, (point) =>
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
      h("h3", {}, "Input at this step"),
      scrub.element,
      h("div", { class: "stills" }, ...stills.map((canvas, i) => h("figure", {}, canvas, captions[i]))),
      h("p", { class: "note" }, "Move along a curve or the slider to see the input at that step."),
    ),
  );
  const long = new Long<WalkCurves>({
    path: "/api/curves",
    doing: "Computing the curves",
    button: "Compute the curves",
    question: `Insertion and deletion curves, with ${RUNS} runs of the network`,
    seconds: ({ slow, answer: { seconds } }) => (slow ? seconds : 0) + (seconds * RUNS) / (slow ? 500 : 1.6),
    clear,
    heard,
    draw,
  });
  const element = h("div", { class: "curves" }, long.element, shown);
  let walk: Walk | null = null;
  let begun: Promise<void> | null = null;
  let now: Now | null = null;

  function clear(): void {
    begun = walk = null;
    shown.classList.add("hidden");
    fill(outcome);
    plots.forEach((plot) => plot.clear());
    delete element.dataset.insertion;
    delete element.dataset.deletion;
  }

  for (const plot of plots) plot.onpoint = (share) => walk && mark(Math.round(share * steps()));

  function heard(name: string, content: unknown, wanted: () => boolean): void {
    if (name === "steps") void begin(content as Walked, wanted);
    if (name === "points") add(content as CurveLine);
  }

  async function draw(made: WalkCurves, wanted: () => boolean): Promise<void> {
    await begin(made.steps, wanted);
    if (!wanted()) return;
    made.lines.forEach(add);
    mark(Number(scrub.input.value));
    tell();
    element.dataset.insertion = String(insertion.area("map"));
    element.dataset.deletion = String(deletion.area("map"));
  }

  /** The pictures that are walked between; they come before the first points. */
  function begin(walked: Walked, wanted: () => boolean): Promise<void> {
    begun ??= prepare(walked, wanted);
    return begun;
  }

  async function prepare(walked: Walked, wanted: () => boolean): Promise<void> {
    const [seen, substrate] = await Promise.all([decodeImage(walked.network_input), decodeImage(walked.infill)]);
    if (!wanted()) return;
    walk = { steps: walked.n_steps, seen: pixels(seen), substrate: pixels(substrate), first: bytes(walked.order.first) };
    scrub.input.max = String(walked.n_steps);
    shown.classList.remove("hidden");
    mark(Math.round(walked.n_steps / 4));
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
      const what = plot.kind === "insertion" ? `${share} inserted` : `${share} removed`;
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
      now = next;
      long.show(next);
    },
    paint: () => {},
    hide: () => long.hide(),
  };
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
