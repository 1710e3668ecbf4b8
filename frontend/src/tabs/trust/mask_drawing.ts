// How an image looks while it is painted over.

import { drawPhoto as photo } from "../../shared/photo";
import type { Box, Mask } from "./mask";

/** The image, its occluded part hatched, and what the network never sees in grey. */
export function drawn(context: CanvasRenderingContext2D, image: HTMLImageElement, mask: Mask, seen: Box): void {
  const { width, height } = context.canvas;
  photo(context, image, width, height);
  context.imageSmoothingEnabled = true;
  context.drawImage(veil(mask), 0, 0, width, height);
  const [left, top, right, bottom] = seen;
  context.beginPath();
  context.rect(0, 0, width, height);
  context.rect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  context.fillStyle = "rgb(128 128 134 / 0.6)";
  context.fill("evenodd");
}

/** A white line with a dark one beside it: visible on any image. */
export function outlined(context: CanvasRenderingContext2D, line: number, path: () => void): void {
  for (const [wide, colour] of [
    [3 * line, "rgb(20 20 26 / 0.7)"],
    [line, "#fff"],
  ] as const) {
    context.beginPath();
    path();
    context.lineWidth = wide;
    context.strokeStyle = colour;
    context.stroke();
  }
}

/** The occluded part, hatched: visible on any image, and without distinguishing colours. */
function veil({ width, height, marked }: Mask): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d")!;
  const pixels = context.createImageData(width, height);
  marked.forEach((one, i) => {
    if (!one) return;
    const stripe = ((i % width) + Math.floor(i / width)) % 8 < 4;
    pixels.data.set(stripe ? [194, 51, 122, 200] : [255, 255, 255, 130], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}
