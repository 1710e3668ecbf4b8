// A map with its position in an image: the same sums as camlucida/maps.py, so that the page shows what `explain` saves.

import type { Geometry, MapOut } from "../api/types";
import { toImageGrid, validRegion, valueAt } from "./landing";
import { type Grid, unpack } from "./packed";

/** Of a longer image, the full colour is found at this size: the difference is invisible. */
const LARGEST = 1024;

export class Field {
  readonly map: Grid;
  private last: { width: number; height: number; values: Float32Array } | null = null;
  protected full: number | null = null;
  protected signs: boolean | null = null;

  constructor(
    raw: Grid,
    readonly geometry: Geometry,
    readonly relu: boolean,
    readonly signed: boolean,
    readonly percentile: number,
  ) {
    this.map = relu ? { ...raw, values: raw.values.map((v) => Math.max(v, 0)) } : raw;
  }

  static of(made: Pick<MapOut, "map" | "relu" | "signed" | "percentile">, geometry: Geometry): Field {
    return new Field(unpack(made.map)[0]!, geometry, made.relu, made.signed, made.percentile);
  }

  at(x: number, y: number): number {
    return valueAt(this.map, this.geometry, x, y);
  }

  /** On the image at another size: row by row, NaN outside the valid region. The last size is kept. */
  landed(width: number, height: number): Float32Array {
    if (this.last?.width === width && this.last.height === height) return this.last.values;
    const values = this.land(width, height);
    this.last = { width, height, values };
    return values;
  }

  /** What the full colour stands for: the largest value shown, or a percentile. */
  peak(landed: Float32Array): number {
    const sizes = new Float32Array(landed.length);
    let count = 0;
    let top = 0;
    for (let i = 0; i < landed.length; i++) {
      const value = landed[i]!;
      if (value !== value) continue;
      const size = this.signed && value < 0 ? -value : Math.max(value, 0);
      sizes[count++] = size;
      if (size > top) top = size;
    }
    if (this.percentile >= 100 || !count) return top;
    const rank = Math.max(1, Math.round((this.percentile / 100) * count));
    return nth(sizes.subarray(0, count), rank - 1) || top;
  }

  /** The same of the whole image, in its own pixels as the library has it: whatever size it is shown at. */
  get top(): number {
    this.full ??= this.peak(this.landedWithin(LARGEST));
    return this.full;
  }

  /** The same map, where full colour stands for another value; `signs`: whether what is below zero is shown. */
  scaledTo(top: number, signs = this.showsSigns): Field {
    const made = new Field(this.map, this.geometry, this.relu, this.signed, this.percentile);
    [made.full, made.signs] = [top, signs];
    return made;
  }

  /** In the image's own pixels, or as many as fit into `side`. */
  landedWithin(side: number): Float32Array {
    const [width, height] = this.geometry.original;
    const factor = Math.min(1, side / Math.max(width, height));
    return this.land(Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor)));
  }

  protected land(width: number, height: number): Float32Array {
    return toImageGrid(this.map, this.geometry, width, height);
  }

  /** Whether there is a part that the network did not see. */
  get partly(): boolean {
    const [left, top, right, bottom] = validRegion(this.geometry);
    const [width, height] = this.geometry.original;
    return left > 0.5 || top > 0.5 || right < width - 0.5 || bottom < height - 0.5;
  }

  get showsSigns(): boolean {
    return (this.signs ??= this.signed && this.map.values.some((value) => value < 0));
  }
}

/** The difference of two maps, the positive part of each divided by its maximum: from -1 to 1. */
export class Difference extends Field {
  private readonly scales: readonly number[];

  constructor(
    private readonly a: Field,
    private readonly b: Field,
  ) {
    super({ height: 1, width: 1, values: new Float32Array(1) }, a.geometry, false, true, 100);
    this.scales = [a, b].map((field) => largest(field.landedWithin(DISPLAYED)) || 1);
    [this.full, this.signs] = [1, true];
  }

  /** The largest absolute value, on the image as it is displayed. */
  get largest(): number {
    return largest(this.landedWithin(DISPLAYED).map(Math.abs));
  }

  override at(x: number, y: number): number {
    return this.between(this.a.at(x, y), this.b.at(x, y));
  }

  protected override land(width: number, height: number): Float32Array {
    const other = this.b.landed(width, height);
    return this.a.landed(width, height).map((value, i) => this.between(value, other[i]!));
  }

  private between(one: number, other: number): number {
    return Math.max(one, 0) / this.scales[0]! - Math.max(other, 0) / this.scales[1]!;
  }
}

/** The longer side of a displayed map, in pixels. */
const DISPLAYED = 512;

/** The largest number; 0 if none is positive. NaN does not count. */
const largest = (values: Float32Array): number => values.reduce((top, value) => (value > top ? value : top), 0);

/** The nth smallest of numbers from 0 up. Their bits are in their order: only those alike in the first 17 are sorted. */
function nth(values: Float32Array, n: number): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const counts = new Uint32Array(1 << 17);
  for (let i = 0; i < bits.length; i++) counts[bits[i]! >>> 15]!++;
  let which = 0;
  let before = 0;
  while (before + counts[which]! <= n) before += counts[which++]!;
  return values.filter((_, i) => bits[i]! >>> 15 === which).sort()[n - before]!;
}
