// What browsers have and happy-dom has not: pixels.

class Pixels {
  readonly data: Uint8ClampedArray;

  constructor(
    readonly width: number,
    readonly height: number,
  ) {
    this.data = new Uint8ClampedArray(4 * width * height);
  }
}

globalThis.ImageData ??= Pixels as unknown as typeof ImageData;
