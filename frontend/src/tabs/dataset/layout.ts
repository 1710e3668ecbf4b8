// Points on a canvas: where they are, in which order and in which shape they are drawn.

import type { Points } from "./schemas";

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
