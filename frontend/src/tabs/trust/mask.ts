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
    const before = this.past.pop();
    if (before) this.marked.set(before);
  }

  /** A disc at a place in shares of the sides; `radius` in cells. */
  disc(u: number, v: number, radius: number, value: 0 | 1): void {
    const { width, height, marked } = this;
    const [x, y] = [u * width, v * height];
    const [top, bottom] = [Math.max(0, Math.floor(y - radius)), Math.min(height - 1, Math.ceil(y + radius))];
    const [left, right] = [Math.max(0, Math.floor(x - radius)), Math.min(width - 1, Math.ceil(x + radius))];
    for (let row = top; row <= bottom; row++)
      for (let column = left; column <= right; column++)
        if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius ** 2) marked[row * width + column] = value;
  }

  box([left, top, right, bottom]: Box, value: 0 | 1): void {
    const { width, height, marked } = this;
    for (let y = Math.max(0, Math.floor(top * height)); y < Math.min(height, Math.ceil(bottom * height)); y++)
      for (let x = Math.max(0, Math.floor(left * width)); x < Math.min(width, Math.ceil(right * width)); x++)
        marked[y * width + x] = value;
  }

  /** As the server reads it: bits row by row, the highest first. */
  packed(): { width: number; height: number; bits: string } {
    const { width, height, marked } = this;
    const bytes = new Uint8Array(Math.ceil(marked.length / 8));
    marked.forEach((one, i) => {
      if (one) bytes[i >> 3] = bytes[i >> 3]! | (0x80 >> (i & 7));
    });
    return { width, height, bits: btoa(String.fromCharCode(...bytes)) };
  }
}
