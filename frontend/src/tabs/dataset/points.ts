// Points of an embedding: the lines of the legend, where points are on a canvas, in which order and shape they are drawn.

import { app } from "../../state/app";
import type { Points } from "./schemas";

export type ColourBy = "truth" | "said" | "right" | "confidence";
export const COLOUR_BY: { value: ColourBy; text: string }[] = [
  { value: "truth", text: "true class" },
  { value: "said", text: "predicted class" },
  { value: "right", text: "correct or wrong" },
  { value: "confidence", text: "confidence" },
];
/** Networks are mostly confident: the steps are finer at the top. */
const CONFIDENCE_STEPS = [0, 0.5, 0.8, 0.95, 0.99, 1];

/** A line of the legend. */
interface Group {
  name: string;
  colour: string;
  points: number[];
}

/** By class if classes can be distinguished by colour. */
export function defaultColouring(found: Points): ColourBy {
  const many = new Set(found.label_index).size > found.colours.length;
  return found.correct.every((one) => one === -1) ? "said" : many ? "right" : "truth";
}

export function groupsOf(found: Points, by: ColourBy): Group[] {
  const where = (fits: (i: number) => boolean): number[] => [...found.x.keys()].filter(fits);
  if (by === "truth") return byClass(found, found.label_index);
  if (by === "said") return byClass(found, found.predicted_index);
  const groups =
    by === "right"
      ? [
          { name: "correct", colour: "--second", points: where((i) => found.correct[i] === 1) },
          { name: "wrong", colour: "--first", points: where((i) => found.correct[i] === 0) },
          { name: "no label", colour: "--soft", points: where((i) => found.correct[i] === -1) },
        ]
      : CONFIDENCE_STEPS.slice(1).map((high, step) => {
          const low = CONFIDENCE_STEPS[step]!;
          const at = 3 * Math.round(((step + 0.5) / (CONFIDENCE_STEPS.length - 1)) * 1024);
          const colour = `rgb(${app.painter.table("viridis").slice(at, at + 3).join(" ")})`;
          const inside = (value: number): boolean => value >= low && (value < high || high === 1);
          return { name: `${100 * low} to ${100 * high} %`, colour, points: where((i) => inside(found.confidence[i]!)) };
        });
  return groups.filter((group) => group.points.length);
}

/** The largest classes have colours of their own, the others share grey. */
function byClass(found: Points, classes: readonly number[]): Group[] {
  const members = new Map<number, number[]>();
  classes.forEach((index, i) => members.set(index, [...(members.get(index) ?? []), i]));
  const sorted = [...members].sort(([a, one], [b, other]) => other.length - one.length || a - b);
  const n = sorted.length <= found.colours.length ? sorted.length : found.colours.length - 1;
  const groups = sorted.slice(0, n).map(([index, points], i) => ({
    name: found.classes[index] ?? "no label",
    colour: index === -1 ? "--soft" : `#${found.colours[i]!}`,
    points,
  }));
  const rest = sorted.slice(n).flatMap(([, points]) => points);
  if (rest.length) groups.push({ name: `${sorted.length - n} other classes`, colour: "--soft", points: rest });
  return groups;
}

/** A colour per point (or the name of one in the style sheet, "--soft"), a cross for wrong predictions; muted points are faint. */
export interface PointStyle {
  colours: readonly string[];
  crossed: readonly boolean[];
  muted: readonly boolean[];
}

/** Muted points first, wrong predictions last. */
export function drawingOrder({ colours, crossed, muted }: PointStyle): number[] {
  const rank = (i: number): number => (muted[i] ? 0 : crossed[i] ? 2 : 1);
  return [...colours.keys()].sort((a, b) => rank(a) - rank(b));
}

export type Coordinates = Pick<Points, "x" | "y">;
/** Pixels that are left free around them. */
export const EDGE = 28;

/** Positions before any zoom, in CSS pixels: one scale for both axes, y upwards. */
export class Layout {
  private readonly at: (readonly [number, number])[];

  constructor({ x, y }: Coordinates, width: number, height: number) {
    const [left, right, low, high] = [...rangeOf(x), ...rangeOf(y)] as [number, number, number, number];
    const scale = Math.min((width - 2 * EDGE) / (right - left || 1e-9), (height - 2 * EDGE) / (high - low || 1e-9));
    const known = right > left || high > low ? scale : 0;
    this.at = x.map((u, i) => [width / 2 + (u - (left + right) / 2) * known, height / 2 - (y[i]! - (low + high) / 2) * known]);
  }

  of(point: number): readonly [number, number] {
    return this.at[point] ?? [NaN, NaN]; // before the canvas has a size
  }

  /** The point nearest to a position, if one is within `reach`; muted ones do not count. */
  nearest(u: number, v: number, reach: number, muted: readonly boolean[]): number | null {
    return this.closest(muted, u, v, (dx, dy) => Math.hypot(dx, dy) <= reach);
  }

  /** The nearest point within 45 degrees of a direction; the first one if none is marked yet. */
  towards(from: number | null, [dx, dy]: readonly [number, number], muted: readonly boolean[]): number | null {
    const first = this.at.findIndex((_, i) => !muted[i]);
    if (from === null) return first < 0 ? null : first;
    return this.closest(muted, ...this.of(from), (u, v) => {
      const along = u * dx + v * dy;
      return along > 0 && Math.abs(u * dy - v * dx) <= along;
    });
  }

  /** The point nearest to (x, y) of those whose distances along the axes are acceptable. */
  private closest(muted: readonly boolean[], x: number, y: number, accepts: (dx: number, dy: number) => boolean): number | null {
    let best: number | null = null;
    let shortest = Infinity;
    this.at.forEach(([u, v], i) => {
      const distance = Math.hypot(u - x, v - y);
      if (distance < shortest && !muted[i] && accepts(u - x, v - y)) [best, shortest] = [i, distance];
    });
    return best;
  }
}

const rangeOf = (values: readonly number[]): [number, number] => [
  values.reduce((a, b) => Math.min(a, b), Infinity),
  values.reduce((a, b) => Math.max(a, b), -Infinity),
];

type Shape = (context: CanvasRenderingContext2D, x: number, y: number, r: number, colour: string, edge: string | null) => void;

export const cross: Shape = (context, x, y, r, colour, edge) => {
  const d = r * 0.95;
  context.beginPath();
  context.moveTo(x - d, y - d);
  context.lineTo(x + d, y + d);
  context.moveTo(x + d, y - d);
  context.lineTo(x - d, y + d);
  if (edge) stroke(context, edge, r * 0.95 + 1.6);
  stroke(context, colour, r * 0.8);
};

export const dot: Shape = (context, x, y, r, colour, edge) => {
  context.beginPath();
  context.arc(x, y, r, 0, 7);
  context.fillStyle = colour;
  context.fill();
  if (!edge) return;
  context.globalAlpha = 0.5; // dark dots on a dark ground have an edge, too
  stroke(context, edge, 0.8);
};

/** Stroke the current path. */
export function stroke(context: CanvasRenderingContext2D, colour: string, width: number): void {
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}
