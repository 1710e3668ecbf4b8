// Insertion and deletion as plots that grow while their points come in.

import { fill, h, svg } from "../../dom";
import type { CurveLine } from "./wire";

const WIDTH = 440;
const HEIGHT = 240;
const PAD = { left: 44, right: 12, top: 10, bottom: 36 };

/** Whose curves, as they are drawn and called. */
export const OF = [
  { of: "map", name: "this map" },
  { of: "centre", name: "centre first" },
  { of: "random", name: "random order" },
] as const;

const across = (share: number): number => PAD.left + share * (WIDTH - PAD.left - PAD.right);
const up = (probability: number): number => HEIGHT - PAD.bottom - probability * (HEIGHT - PAD.top - PAD.bottom);

export class WalkPlot {
  readonly element: HTMLElement;
  private readonly lines = new Map<string, number[]>();
  private readonly areas = new Map<string, number>();
  private readonly drawing = svg("svg", { class: "walk", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  private readonly legend = h("ul", { class: "legend" });
  private point = 0;
  /** Told which share of the picture the pointer is at. */
  onpoint: (share: number) => void = () => {};

  constructor(
    readonly kind: "insertion" | "deletion",
    private readonly steps: () => number,
    title: string,
    words: string,
  ) {
    this.element = h("section", { class: "card" }, h("h3", {}, title), this.drawing, this.legend, h("p", { class: "note" }, words));
    const pointed = (event: PointerEvent): void => {
      const box = this.drawing.getBoundingClientRect();
      const share = (((event.clientX - box.left) / box.width) * WIDTH - PAD.left) / (WIDTH - PAD.left - PAD.right);
      this.onpoint(Math.min(1, Math.max(0, share)));
    };
    this.drawing.addEventListener("pointermove", pointed);
    this.drawing.addEventListener("pointerdown", pointed);
  }

  clear(): void {
    this.lines.clear();
    this.areas.clear();
    this.draw();
  }

  add(line: CurveLine): void {
    const values = this.lines.get(line.of) ?? [];
    line.values.forEach((value, i) => (values[line.start + i] = value));
    this.lines.set(line.of, values);
    if (line.area !== null && line.area !== undefined) this.areas.set(line.of, line.area);
    this.draw();
  }

  /** The probability of the map's curve at a point, if it is there yet. */
  at(point: number): number | undefined {
    return this.lines.get("map")?.[point];
  }

  area(of: string): number | undefined {
    return this.areas.get(of);
  }

  mark(point: number): void {
    this.point = point;
    this.draw();
  }

  private draw(): void {
    const steps = this.steps();
    const parts: SVGElement[] = [];
    for (const share of [0, 0.5, 1]) {
      parts.push(
        svg("line", { class: "axis", x1: PAD.left, x2: WIDTH - PAD.right, y1: up(share), y2: up(share) }),
        svg("text", { class: "tick", x: PAD.left - 5, y: up(share) + 3, "text-anchor": "end" }, `${100 * share} %`),
        svg("text", { class: "tick", x: across(share), y: HEIGHT - 21, "text-anchor": share === 1 ? "end" : "middle" }, `${100 * share} %`),
      );
    }
    const what = this.kind === "insertion" ? "fraction of pixels inserted" : "fraction of pixels removed";
    parts.push(svg("text", { class: "label", x: across(0.5), y: HEIGHT - 5, "text-anchor": "middle" }, what));
    for (const { of } of [...OF].reverse()) {
      const values = this.lines.get(of);
      if (!values?.length) continue;
      const points = values.map((value, i) => `${across(i / steps).toFixed(1)},${up(value).toFixed(1)}`).join(" ");
      if (of === "map") {
        const end = across((values.length - 1) / steps).toFixed(1);
        parts.push(svg("polygon", { class: "area", points: `${across(0)},${up(0)} ${points} ${end},${up(0)}` }));
      }
      parts.push(svg("polyline", { class: `line ${of}`, points }));
    }
    const here = this.at(this.point);
    if (here !== undefined)
      parts.push(
        svg("line", { class: "cursor", x1: across(this.point / steps), x2: across(this.point / steps), y1: up(1), y2: up(0) }),
        svg("circle", { class: "cursor", cx: across(this.point / steps), cy: up(here), r: 4.5 }),
      );
    fill(this.drawing, ...parts);
    const told = OF.map(({ of, name }) => ({ of, name, area: this.areas.get(of) }));
    this.drawing.setAttribute(
      "aria-label",
      `Probability of the class against the ${what}. Areas: ` +
        told.map(({ name, area }) => `${name} ${area === undefined ? "not yet" : area.toFixed(3)}`).join(", "),
    );
    fill(
      this.legend,
      ...told.map(({ of, name, area }) =>
        h("li", {}, key(of), h("span", {}, name), h("b", {}, area === undefined ? "…" : area.toFixed(3))),
      ),
    );
  }
}

function key(of: string): SVGSVGElement {
  return svg(
    "svg",
    { class: "key", viewBox: "0 0 26 8", "aria-hidden": "true" },
    svg("line", { class: `line ${of}`, x1: 1, x2: 25, y1: 4, y2: 4 }),
  );
}

/** "better than both", from areas. */
export function ranked(own: number, others: readonly number[], highIsGood: boolean): string {
  const beaten = others.filter((other) => (highIsGood ? own > other : own < other)).length;
  return beaten === others.length ? "better than both baselines" : beaten > 0 ? "better than one baseline" : "not better than either baseline";
}

