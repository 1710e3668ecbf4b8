// Maps beside each other: several on one scale, and the difference of two.

import { Field, type Grid } from "../maps";
import type { Place } from "../api";

const LONGEST = 512;

/** The largest value of what speaks for the class, on the picture as it is shown. */
export function summit(field: Field): number {
  const [width, height] = sizeFor(field.place);
  let top = 0;
  for (const value of field.landed(width, height)) if (value > top) top = value;
  return top;
}

/** What the full colour of a map stands for on its own scale. */
export function ownTop(field: Field): number {
  const [width, height] = sizeFor(field.place);
  return field.peak(field.landed(width, height));
}

function sizeFor(place: Place): [number, number] {
  const [width, height] = place.original;
  const factor = Math.min(1, LONGEST / Math.max(width, height));
  return [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
}

/** A map whose full colour is given: that of several maps in one unit. */
export class Scaled extends Field {
  constructor(
    own: Field,
    raw: Grid,
    readonly given: number,
    private readonly signs: boolean,
  ) {
    super(raw, own.place, own.relu, own.signed, own.percentile);
  }

  override get top(): number {
    return this.given;
  }

  override get showsSigns(): boolean {
    return this.signs;
  }
}

/** How much more one map says than another, each map's positive part divided by its maximum: from -1 to 1. */
export class Difference extends Field {
  private readonly scales: [number, number];

  constructor(
    private readonly a: Field,
    private readonly b: Field,
  ) {
    super({ height: 1, width: 1, values: new Float32Array(1) }, a.place, false, true, 100);
    this.scales = [summit(a) || 1, summit(b) || 1];
  }

  /** The largest of it, either way. */
  get most(): number {
    let most = 0;
    for (const value of this.landed(...sizeFor(this.place))) if (Math.abs(value) > most) most = Math.abs(value);
    return most;
  }

  override at(x: number, y: number): number {
    return this.between(this.a.at(x, y), this.b.at(x, y));
  }

  override landed(width: number, height: number): Float32Array {
    const other = this.b.landed(width, height);
    return this.a.landed(width, height).map((value, i) => this.between(value, other[i]!));
  }

  override get top(): number {
    return 1;
  }

  override get showsSigns(): boolean {
    return true;
  }

  private between(one: number, other: number): number {
    return Math.max(one, 0) / this.scales[0] - Math.max(other, 0) / this.scales[1];
  }
}
