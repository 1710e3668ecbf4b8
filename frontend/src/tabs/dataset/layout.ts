// Positions of points on a canvas: which one is near a position, which one is next in a direction.

export interface Coordinates {
  x: readonly number[];
  y: readonly number[];
}

/** Pixels that are left free around them. */
export const EDGE = 28;
const CELL = 24;

/** Before any zoom, in CSS pixels: one scale for both axes, y upwards. */
export class Layout {
  private readonly at: Float32Array;
  private readonly cells = new Map<number, number[]>();

  constructor({ x, y }: Coordinates, width: number, height: number) {
    const [left, right, low, high] = [minimum(x), maximum(x), minimum(y), maximum(y)];
    const scale = Math.min((width - 2 * EDGE) / (right - left || 1e-9), (height - 2 * EDGE) / (high - low || 1e-9));
    const known = right > left || high > low ? scale : 0;
    this.at = new Float32Array(2 * x.length);
    for (let i = 0; i < x.length; i++) {
      this.at[2 * i] = width / 2 + (x[i]! - (left + right) / 2) * known;
      this.at[2 * i + 1] = height / 2 - (y[i]! - (low + high) / 2) * known;
      const cell = cellOf(...this.of(i));
      const inside = this.cells.get(cell);
      if (inside) inside.push(i);
      else this.cells.set(cell, [i]);
    }
  }

  of(point: number): [number, number] {
    return [this.at[2 * point]!, this.at[2 * point + 1]!];
  }

  /** The point nearest to a position, if one is within `reach`; muted ones do not count. */
  nearest(u: number, v: number, reach: number, muted: readonly boolean[]): number | null {
    let best: number | null = null;
    let closest = reach ** 2;
    for (let a = Math.floor((u - reach) / CELL); a <= Math.floor((u + reach) / CELL); a++)
      for (let b = Math.floor((v - reach) / CELL); b <= Math.floor((v + reach) / CELL); b++)
        for (const i of this.cells.get(a * 100003 + b) ?? []) {
          const distance = (this.at[2 * i]! - u) ** 2 + (this.at[2 * i + 1]! - v) ** 2;
          if (distance <= closest && !muted[i]) [best, closest] = [i, distance];
        }
    return best;
  }

  /** The nearest point within 45 degrees of a direction; the first one if none is marked yet. */
  towards(from: number | null, [dx, dy]: readonly [number, number], muted: readonly boolean[]): number | null {
    const seen = [...Array(this.at.length / 2).keys()].filter((i) => !muted[i]);
    if (from === null) return seen[0] ?? null;
    const [x, y] = this.of(from);
    let best: number | null = null;
    let closest = Infinity;
    for (const i of seen) {
      const [u, v] = [this.at[2 * i]! - x, this.at[2 * i + 1]! - y];
      const along = u * dx + v * dy;
      const distance = u * u + v * v;
      if (i !== from && along > 0 && Math.abs(u * dy - v * dx) <= along && distance < closest) [best, closest] = [i, distance];
    }
    return best;
  }
}

/** Whether a position is inside a polygon; by the even-odd rule, so a lasso that crosses itself has holes. */
export function insidePolygon(polygon: readonly (readonly [number, number])[], x: number, y: number): boolean {
  let inside = false;
  polygon.forEach(([x1, y1], i) => {
    const [x2, y2] = polygon[(i + 1) % polygon.length]!;
    if (y1 > y !== y2 > y && x < x1 + ((y - y1) / (y2 - y1)) * (x2 - x1)) inside = !inside;
  });
  return inside;
}

const cellOf = (x: number, y: number): number => Math.floor(x / CELL) * 100003 + Math.floor(y / CELL);
const minimum = (values: readonly number[]): number => values.reduce((a, b) => Math.min(a, b), Infinity);
const maximum = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity);
