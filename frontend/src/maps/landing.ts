// A map on its image: bilinear up to the network's input (half-pixel centres, the border repeated: torch's
// interpolate(align_corners=False)), and bilinear again from there to the size that is shown. Both steps treat the axes
// one after the other, so each position of an axis is a sum of at most four of the map's cells: no large map in between.

import type { Geometry } from "../api/types";
import { Kept } from "../kept";
import type { Grid } from "./packed";

/** The cells that each position of an axis is interpolated from, four per position, with weights; `seen` in the valid region. */
interface Taps {
  cells: Int32Array;
  weights: Float64Array;
  seen: Uint8Array;
}

/** The part of the image that the network sees: left, top, right, bottom in the image's pixels. */
export function validRegion({ original, input, scale, offset }: Geometry): [number, number, number, number] {
  return [
    Math.max(0, -offset[0] / scale[0]),
    Math.max(0, -offset[1] / scale[1]),
    Math.min(original[0], (input[0] - offset[0]) / scale[0]),
    Math.min(original[1], (input[1] - offset[1]) / scale[1]),
  ];
}

/** An image that the network sees as it is. */
export function plainGeometry(width: number, height: number): Geometry {
  return { original: [width, height], input: [width, height], scale: [1, 1], offset: [0, 0] };
}

/** At the centres of so many pixels over the whole image, row by row; NaN outside the valid region. */
export function toImageGrid(grid: Grid, geometry: Geometry, width: number, height: number): Float32Array {
  const xs = axis(0, width, grid.width, geometry);
  const ys = axis(1, height, grid.height, geometry);
  const rows = widened(grid, xs, width);
  const made = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    const from = y * width;
    if (!ys.seen[y]) {
      made.fill(NaN, from, from + width);
      continue;
    }
    const [a, b, c, d] = [0, 1, 2, 3].map((tap) => ys.cells[4 * y + tap]! * width) as [number, number, number, number];
    const [p, q, r, s] = ys.weights.subarray(4 * y, 4 * y + 4) as unknown as [number, number, number, number];
    for (let x = 0; x < width; x++)
      made[from + x] = xs.seen[x] ? p * rows[a + x]! + q * rows[b + x]! + r * rows[c + x]! + s * rows[d + x]! : NaN;
  }
  return made;
}

/** Each of the map's rows as wide as the image. */
function widened(grid: Grid, { cells, weights }: Taps, width: number): Float64Array {
  const made = new Float64Array(grid.height * width);
  const { values } = grid;
  for (let row = 0; row < grid.height; row++) {
    const from = row * grid.width;
    for (let x = 0, at = 0; x < width; x++, at += 4)
      made[row * width + x] =
        weights[at]! * values[from + cells[at]!]! +
        weights[at + 1]! * values[from + cells[at + 1]!]! +
        weights[at + 2]! * values[from + cells[at + 2]!]! +
        weights[at + 3]! * values[from + cells[at + 3]!]!;
  }
  return made;
}

/** At one point of the image, in its own pixels. */
export function valueAt(grid: Grid, geometry: Geometry, x: number, y: number): number {
  const [left, top, right, bottom] = validRegion(geometry);
  if (x < left || x > right || y < top || y > bottom) return NaN;
  const [xs, ys] = [taps(1), taps(1)];
  mix(xs, 0, x * geometry.scale[0] + geometry.offset[0] - 0.5, geometry.input[0], grid.width);
  mix(ys, 0, y * geometry.scale[1] + geometry.offset[1] - 0.5, geometry.input[1], grid.height);
  let sum = 0;
  for (let i = 0; i < 4; i++)
    for (let j = 0; j < 4; j++)
      sum += ys.weights[i]! * xs.weights[j]! * grid.values[ys.cells[i]! * grid.width + xs.cells[j]!]!;
  return sum;
}

const taps = (count: number): Taps => ({
  cells: new Int32Array(4 * count),
  weights: new Float64Array(4 * count),
  seen: new Uint8Array(count),
});

const axes = new Kept<Taps>(12);

/** Along one axis. All channels of a layer land alike, so the last few are kept. */
function axis(which: 0 | 1, count: number, cells: number, geometry: Geometry): Taps {
  const [original, input, scale, offset] = [geometry.original, geometry.input, geometry.scale, geometry.offset].map(
    (pair) => pair[which]!,
  ) as [number, number, number, number];
  return axes.of([count, cells, original, input, scale, offset].join(" "), () => {
    const [start, end] = [validRegion(geometry)[which]!, validRegion(geometry)[which + 2]!];
    const made = taps(count);
    for (let i = 0; i < count; i++) {
      const centre = ((i + 0.5) * original) / count;
      if (!(centre > start && centre < end)) continue;
      made.seen[i] = 1;
      mix(made, i, centre * scale + offset - 0.5, input, cells);
    }
    return made;
  });
}

/** A position of the network's input lies between two of its pixels, and each of those between two cells of the map. */
function mix({ cells: to, weights }: Taps, i: number, position: number, input: number, cells: number): void {
  const [one, other, u] = between(position, input);
  [[one, 1 - u], [other, u]].forEach(([pixel, share], half) => {
    const [first, second, v] = between(((pixel! + 0.5) * cells) / input - 0.5, cells);
    const at = 4 * i + 2 * half;
    to[at] = share ? first : to[4 * i]!;
    to[at + 1] = share && v ? second : to[at]!;
    weights[at] = share! * (1 - v);
    weights[at + 1] = share! * v;
  });
}

/** The two cells round a position on an axis, and how far it is from the first to the second. */
function between(position: number, count: number): [number, number, number] {
  const at = Math.min(Math.max(position, 0), count - 1);
  const first = Math.floor(at);
  return [first, Math.min(first + 1, count - 1), at - first];
}
