// Small line plots and rows of ticks, drawn as SVG.

import { svg } from "../dom";

export interface Line {
  name: string;
  points: readonly (readonly [number, number])[];
  /** A class of the style sheet: "first", "second", "quiet". */
  kind?: string;
}

const WIDTH = 280;
const HEIGHT = 160;
const PAD = { left: 38, right: 10, top: 8, bottom: 30 };

/** Lines over common axes; what they mean is told in `words` for those who cannot see them. */
export function plot(
  lines: readonly Line[],
  axes: { x: string; y: string; xs?: [number, number]; ys?: [number, number] },
  words: string,
): SVGSVGElement {
  const points = lines.flatMap((line) => line.points);
  const [x0, x1] = axes.xs ?? range(points.map(([x]) => x));
  const [y0, y1] = axes.ys ?? range(points.map(([, y]) => y));
  const across = (x: number): number => PAD.left + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - PAD.left - PAD.right);
  const up = (y: number): number => HEIGHT - PAD.bottom - ((y - y0) / (y1 - y0 || 1)) * (HEIGHT - PAD.top - PAD.bottom);
  return svg(
    "svg",
    { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words },
    svg("line", { class: "axis", x1: PAD.left, x2: WIDTH - PAD.right, y1: up(y0), y2: up(y0) }),
    svg("line", { class: "axis", x1: PAD.left, x2: PAD.left, y1: up(y0), y2: up(y1) }),
    ...[y0, y1].map((y) => svg("text", { class: "tick", x: PAD.left - 4, y: up(y) + 3, "text-anchor": "end" }, tick(y))),
    ...[x0, x1].map((x) => svg("text", { class: "tick", x: across(x), y: HEIGHT - 17, "text-anchor": "middle" }, tick(x))),
    svg("text", { class: "label", x: (PAD.left + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, axes.x),
    svg("text", { class: "label", transform: `translate(10 ${HEIGHT / 2 - 10}) rotate(-90)`, "text-anchor": "middle" }, axes.y),
    ...lines.map((line) =>
      svg("polyline", {
        class: `line ${line.kind ?? "first"}`,
        points: line.points.map(([x, y]) => `${across(x).toFixed(1)},${up(y).toFixed(1)}`).join(" "),
      }),
    ),
  );
}

function range(values: number[]): [number, number] {
  const known = values.filter(Number.isFinite);
  if (!known.length) return [0, 1];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

const tick = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(2));
