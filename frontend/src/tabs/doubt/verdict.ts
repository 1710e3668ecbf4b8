// Can this map be believed? First in words, then the numbers behind them.

import type { Verdict } from "../../api";
import { fill, h, svg } from "../../dom";
import { Field, percent, unpack } from "../../maps";
import { lookOf, type Page } from "../../page";
import { HeatView } from "../../parts/heat";
import { Task } from "../../parts/task";
import { amounts, dots, falls, rounded, share } from "./figures";
import { decoded, type Now, type Part, plainPlace } from "./part";

/** About so many runs of the network; a quick map costs one and a half, and thirteen more maps are made. */
const RUNS = 145;
/** Seconds that may pass without anybody having asked for it. */
const UNASKED = 8;

const WORDS: Record<Verdict["belief"], { kind: string; title: string; plain: string }> = {
  "believe it": { kind: "good", title: "Believe it", plain: "The map passed every test: nothing below speaks against it." },
  "with care": { kind: "care", title: "With care", plain: "The map is about something, but:" },
  "do not believe it": { kind: "bad", title: "Do not believe it", plain: "Because:" },
  "cannot tell": { kind: "unknown", title: "Cannot tell", plain: "Because:" },
};

export function verdict(page: Page): Part {
  const task = new Task(page, "Putting the map to the test");
  const start = h("div", { class: "start" });
  const found = h("div", { class: "found" });
  const element = h("div", { class: "verdict" }, start, task.element, found);
  let small: HeatView[] = [];
  let now: Now | null = null;
  let shownFor = "";
  let running = "";

  /** Seconds that it will take, about. */
  const cost = (one: Now): number => one.answer.seconds * (one.slow ? 14 : RUNS / 1.6);

  async function run(): Promise<void> {
    if (!now) return;
    const mine = (running = JSON.stringify(now.doubt));
    fill(start);
    const told = await task.run<Verdict>("/api/trust", now.doubt);
    if (running !== mine) return;
    running = "";
    if (told) await draw(told, mine);
    else if (now) offer("Put it to the test");
  }

  function offer(words: string): void {
    const seconds = Math.max(1, Math.round(cost(now!)));
    fill(
      start,
      h("p", {}, `Can this map be believed? About ${RUNS} runs of the network tell: `, `some ${seconds} s here.`),
      h("button", { class: "main", onclick: () => void run() }, words),
    );
  }

  async function draw(told: Verdict, about: string): Promise<void> {
    const [seen, blurred] = await Promise.all([decoded(told.seen), decoded(told.blurred)]);
    shownFor = about;
    small = [];
    fill(found, banner(told), h("div", { class: "cards" }, ...cards(told, seen, blurred)), compared(told, seen));
    element.dataset.belief = told.belief;
    element.dataset.p = told.place ? String(told.place.p) : "";
  }

  function banner(told: Verdict): HTMLElement {
    const { kind, title, plain } = WORDS[told.belief];
    const others = told.predicted === told.target ? "" : `, though the model says ${told.predicted}`;
    return h(
      "section",
      { class: `banner ${kind}`, role: "status" },
      icon(kind),
      h(
        "div",
        {},
        h("h2", {}, title),
        h("p", { class: "soft" }, `The map for ${told.target}, ${percent(told.probability)}${others}.`),
        h("p", {}, plain),
        told.reasons.length > 0 && h("ul", {}, ...told.reasons.map((reason) => h("li", {}, upper(reason), "."))),
      ),
    );
  }

  function cards(told: Verdict, seen: HTMLImageElement, blurred: HTMLImageElement): HTMLElement[] {
    const { place, edge, certainty } = told;
    const made: HTMLElement[] = [];
    if (place) {
      const count = place.falls.length;
      const as = place.falls.filter((fall) => fall >= place.fall - 1e-6).length;
      made.push(
        card(
          "What it marks",
          "",
          h("div", { class: "pair" }, marked(seen, told), still(blurred, "The same with that blurred out")),
          "What the network sees. Outlined is the fifth of it where the map is highest; beside it that fifth is blurred out.",
        ),
        card(
          "Does the place matter?",
          `p = ${place.p.toFixed(3)}`,
          falls(
            place.falls,
            `The class falls by ${rounded(place.fall)} nats at the map's place and by ${rounded(place.elsewhere)} on average elsewhere`,
          ),
          `Grey: the same shape blurred out in ${count - 1} other places. The line should stand far to the right: ` +
            `${["no other place costs", "one other place costs"][as - 1] ?? `${as - 1} other places cost`} the class as much.`,
        ),
      );
    }
    made.push(
      card(
        "Does the edge decide?",
        edge.decides ? "yes" : "no",
        amounts(
          [
            { name: "the picture's edge blurred", value: edge.edge, kind: edge.decides ? "warned" : "others" },
            { name: "its middle blurred", value: edge.middle, kind: "others" },
          ],
          `The class loses ${rounded(edge.edge)} nats without the edge and ${rounded(edge.middle)} without the middle`,
        ),
        `How much the class loses, in nats. Where the edge is the longer bar, look for a watermark or a caption. ` +
          `${percent(edge.marked)} of what the map marks lies in the edge.`,
      ),
    );
    const rows = [
      { name: "noisy copies", values: known(told.noise), kind: "copy" },
      { name: "shifted copies", values: known(told.shifts), kind: "copy" },
      { name: "other classes", values: known(told.classes), kind: "class" },
    ];
    if (rows.some((row) => row.values.length))
      made.push(
        card(
          "Is it stable, and about this class?",
          "",
          dots(rows, told.band, rows.map((row) => `${row.name}: ${row.values.map((v) => rounded(v)).join(", ")}`).join("; ")),
          `How like the map others are. Copies of the picture (dots) should give nearly the same map, above ` +
            `${told.rules.steady}; most maps of other classes (squares) should lie left of the shaded band of the copies; that of a class much like this one may not.`,
        ),
      );
    made.push(
      card(
        "Is the model sure?",
        certainty.guessing ? "it is guessing" : percent(certainty.probability),
        share(
          certainty.probability,
          certainty.probability - certainty.margin,
          `${percent(certainty.probability)}, ${percent(certainty.margin)} over the second class`,
        ),
        `Its likeliest class, and the second. It is as unsure as among ${certainty.choices.toFixed(1)} of ` +
          `${certainty.classes} equally likely classes. A map of a guess explains nothing.`,
      ),
    );
    return made;
  }

  /** The maps that it was compared with: one or two of each kind. */
  function compared(told: Verdict, seen: HTMLImageElement): HTMLElement | null {
    if (!told.maps) return null;
    const grids = unpack(told.maps);
    const all = [...told.classes, ...told.noise, ...told.shifts];
    const first = [0, 1, 2].filter((i) => i < told.classes.length);
    const which = [...first, told.classes.length, told.classes.length + told.noise.length];
    const names = ["next class", "random class", "random class"].slice(0, first.length);
    const kinds = [...names, "with a little noise", "shifted a little"];
    const views = which.map((at, i) => {
      const one = all[at]!;
      const name = i < first.length ? `${one.name}, ${kinds[i]}` : kinds[i]!;
      const view = new HeatView("overlay", page.painter, 224);
      const field = new Field(grids[at]!, plainPlace(seen.naturalWidth, seen.naturalHeight), true, false, 100);
      view.set(seen, field, lookOf(page), `${name}: ${one.correlation === null ? "no map" : rounded(one.correlation)}`);
      small.push(view);
      return view.element;
    });
    return h(
      "section",
      { class: "card compared" },
      h("h3", {}, "The maps it was compared with"),
      h("p", { class: "note" }, "And their rank correlation with it: 1 marks the same places in the same order, 0 has nothing to do with it."),
      h("div", { class: "small" }, ...views),
    );
  }

  return {
    name: "verdict",
    title: "Verdict",
    element,
    show(next) {
      const about = JSON.stringify(next.doubt);
      now = next;
      if (about === shownFor || about === running) return;
      task.stop();
      running = "";
      fill(found);
      delete element.dataset.belief;
      shownFor = "";
      if (cost(next) <= UNASKED) void run();
      else offer("Put it to the test");
    },
    paint: () => small.forEach((view) => view.paint(lookOf(page))),
    hide() {
      running = "";
      task.stop();
    },
  };
}

const known = (list: Verdict["noise"]): number[] => list.flatMap((one) => (one.correlation === null ? [] : [one.correlation]));
const upper = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);

function card(title: string, answer: string, figure: Element, words: string): HTMLElement {
  return h(
    "section",
    { class: figure.classList.contains("pair") ? "card wide" : "card" },
    h("h3", {}, title, answer && h("span", { class: "answer" }, answer)),
    figure,
    h("p", { class: "note" }, words),
  );
}

const PATHS: Record<string, string> = {
  good: "M6 12.5l4 4 8-9",
  care: "M12 6.5v7M12 17.2v.3",
  bad: "M7.5 7.5l9 9M16.5 7.5l-9 9",
  unknown: "M9 9.2a3 3 0 1 1 4.4 2.7c-1 .5-1.4 1.1-1.4 2.1M12 17.2v.3",
};
const FRAMES: Record<string, string> = {
  good: "M12 1.8a10.2 10.2 0 1 0 .01 0z",
  care: "M12 2L23 21.5H1z",
  bad: "M7.8 1.8h8.4l6 6v8.4l-6 6H7.8l-6-6V7.8z",
  unknown: "M12 1.8a10.2 10.2 0 1 0 .01 0z",
};

/** A sign whose shape says it, too: circle, triangle, octagon. */
function icon(kind: string): SVGSVGElement {
  return svg(
    "svg",
    { class: "sign", viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("path", { class: "frame", d: FRAMES[kind]! }),
    svg("path", { class: "stroke", d: PATHS[kind]!, transform: kind === "care" ? "translate(0 2)" : "" }),
  );
}

const SIDE = 320;

function still(image: HTMLImageElement, words: string): HTMLCanvasElement {
  const canvas = h("canvas", { role: "img", "aria-label": words });
  const factor = Math.max(1, Math.floor(SIDE / Math.max(image.naturalWidth, image.naturalHeight)));
  canvas.width = image.naturalWidth * factor;
  canvas.height = image.naturalHeight * factor;
  const context = canvas.getContext("2d")!;
  context.imageSmoothingEnabled = image.naturalWidth > 96;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** The picture with a line round what was blurred out. */
function marked(seen: HTMLImageElement, told: Verdict): HTMLCanvasElement {
  const canvas = still(seen, "What the network sees, with what the map marks outlined");
  const context = canvas.getContext("2d")!;
  const { width, height } = canvas;
  const grid = unpack(told.place!.marked)[0]!;
  const shares = new Field(grid, plainPlace(seen.naturalWidth, seen.naturalHeight), false, false, 100).landed(width, height);
  const inside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && shares[y * width + x]! >= 0.5;
  const pixels = context.getImageData(0, 0, width, height);
  const reach = Math.max(2, Math.round(width / 110));
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const here = inside(x, y);
      const rim = here && !(inside(x - reach, y) && inside(x + reach, y) && inside(x, y - reach) && inside(x, y + reach));
      const past = !here && (inside(x - reach, y) || inside(x + reach, y) || inside(x, y - reach) || inside(x, y + reach));
      if (rim) pixels.data.set([255, 255, 255, 255], 4 * (y * width + x));
      else if (past) pixels.data.set([29, 29, 34, 255], 4 * (y * width + x));
    }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
