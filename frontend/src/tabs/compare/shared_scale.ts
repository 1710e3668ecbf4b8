// Maps that are compared: several on one scale, and the difference of two.

import { Field } from "../../maps/field";

const LONGEST = 512;

/** The largest positive evidence, on the image as it is displayed. */
const maximum = (field: Field): number => largest(field, (value) => value);

function largest(field: Field, of: (value: number) => number): number {
  let top = 0;
  for (const value of field.landedWithin(LONGEST)) if (of(value) > top) top = of(value);
  return top;
}

/** A map whose full colour is given: the maximum of several maps in one unit. */
export class ScaledField extends Field {
  constructor(
    own: Field,
    private readonly given: number,
    private readonly signs: boolean,
  ) {
    super(own.map, own.geometry, false, own.signed, own.percentile);
  }

  override get top(): number {
    return this.given;
  }

  override get showsSigns(): boolean {
    return this.signs;
  }
}

/** The difference of two maps, the positive part of each divided by its maximum: from -1 to 1. */
export class Difference extends Field {
  private readonly scales: [number, number];

  constructor(
    private readonly a: Field,
    private readonly b: Field,
  ) {
    super({ height: 1, width: 1, values: new Float32Array(1) }, a.geometry, false, true, 100);
    this.scales = [maximum(a) || 1, maximum(b) || 1];
  }

  /** The largest absolute value. */
  get largest(): number {
    return largest(this, Math.abs);
  }

  override at(x: number, y: number): number {
    return this.between(this.a.at(x, y), this.b.at(x, y));
  }

  protected override land(width: number, height: number): Float32Array {
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
