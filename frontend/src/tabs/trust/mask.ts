// What is covered of an image, cell by cell, and the steps that can be taken back.

const STEPS_BACK = 40;

/** A part of the image: left, top, right, bottom, in fractions of its sides. */
export type Box = [number, number, number, number];

export class Mask {
  /** 1 where it is covered, row by row. */
  readonly marked: Uint8Array;
  private readonly past: Uint8Array[] = [];

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.marked = new Uint8Array(width * height);
  }

  /** How much is covered, 0 to 1. */
  get share(): number {
    return this.marked.reduce((sum, one) => sum + one, 0) / this.marked.length;
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  /** A step begins that can be taken back. */
  keep(): void {
    this.past.push(this.marked.slice());
    if (this.past.length > STEPS_BACK) this.past.shift();
  }

  undo(): void {
    this.marked.set(this.past.pop() ?? this.marked);
  }

  /** A disc at a place in shares of the sides; `radius` in cells. */
  disc(u: number, v: number, radius: number, value: 0 | 1): void {
    const [x, y] = [u * this.width, v * this.height];
    const inside = (column: number, row: number): boolean => Math.hypot(column + 0.5 - x, row + 0.5 - y) <= radius;
    this.fill([x - radius, y - radius, x + radius + 1, y + radius + 1], value, inside);
  }

  box([left, top, right, bottom]: Box, value: 0 | 1): void {
    const { width, height } = this;
    this.fill([left * width, top * height, right * width, bottom * height], value, () => true);
  }

  /** The cells between edges that are given in cells. */
  private fill([left, top, right, bottom]: Box, value: 0 | 1, inside: (column: number, row: number) => boolean): void {
    const { width, height, marked } = this;
    for (let row = Math.max(0, Math.floor(top)); row < Math.min(height, Math.ceil(bottom)); row++)
      for (let column = Math.max(0, Math.floor(left)); column < Math.min(width, Math.ceil(right)); column++)
        if (inside(column, row)) marked[row * width + column] = value;
  }

  /** As the server reads it: bits row by row, the highest first. */
  packed(): { width: number; height: number; bits: string } {
    const { width, height, marked } = this;
    const bytes = new Uint8Array(Math.ceil(marked.length / 8));
    marked.forEach((one, i) => (bytes[i >> 3]! |= one && 0x80 >> (i & 7)));
    return { width, height, bits: btoa(String.fromCharCode(...bytes)) };
  }
}
