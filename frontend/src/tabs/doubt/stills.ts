// What the network saw, as pictures beside the numbers.

import { h } from "../../dom";
import { Field } from "../../maps/field";
import { plainPlace } from "../../maps/landing";
import { unpack } from "../../maps/packed";
import { drawPhoto as photo, photoSize as sizeOf } from "../../shared/photo";
import type { Verdict } from "./wire";

const SIDE = 320;

/** A picture as it is, small ones as plain squares. */
export function still(image: HTMLImageElement, words: string): HTMLCanvasElement {
  const [width, height] = sizeOf(image, SIDE);
  const canvas = h("canvas", { role: "img", "aria-label": words, width, height });
  photo(canvas.getContext("2d")!, image, width, height);
  return canvas;
}

/** The picture with a line round what was blurred out. */
export function marked(seen: HTMLImageElement, told: Verdict): HTMLCanvasElement {
  const canvas = still(seen, "The network input, with the highlighted region outlined");
  const context = canvas.getContext("2d")!;
  const { width, height } = canvas;
  const grid = unpack(told.position_test!.highlighted)[0]!;
  const shares = new Field(grid, plainPlace(seen.naturalWidth, seen.naturalHeight), false, false, 100).landed(width, height);
  const inside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && shares[y * width + x]! >= 0.5;
  const pixels = context.getImageData(0, 0, width, height);
  const reach = Math.max(2, Math.round(width / 110));
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const here = inside(x, y);
      const rim = here && !(inside(x - reach, y) && inside(x + reach, y) && inside(x, y - reach) && inside(x, y + reach));
      const past = !here && (inside(x - reach, y) || inside(x + reach, y) || inside(x, y - reach) || inside(x, y + reach));
      if (rim) pixels.data.set([255, 255, 255, 255], 4 * (y * width + x));
      else if (past) pixels.data.set([29, 29, 34, 255], 4 * (y * width + x));
    }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
