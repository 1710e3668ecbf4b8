// An image with its map on a canvas: the photo, the map alone, or the map over the photo. No request for any of it.

import type { Field } from "../maps/field";
import type { Look } from "../maps/painter";
import { app } from "../state/app";
import { drawPhoto, keptPixels, photoSize } from "./photo";

export type Kind = "photo" | "heat" | "overlay" | "classes";

/** The part of the style that a kind of view depends on. */
export function relevantStyle(kind: Kind, { opacity, colormap, threshold, contour, blend }: Look): string {
  if (kind === "photo" || kind === "classes") return "";
  return kind === "heat" ? `${colormap} ${threshold}` : [opacity, colormap, threshold, contour, blend].join(" ");
}

export function fit(canvas: HTMLCanvasElement, image: HTMLImageElement, side: number): void {
  const [width, height] = photoSize(image, side);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

/** What is drawn into before it is put on a canvas; one for all drawings of a size. */
let target: ImageData | null = null;

/** Draw at the size that the canvas has. */
export function drawMap(canvas: HTMLCanvasElement, kind: Kind, image: HTMLImageElement, field: Field | null, style: Look): void {
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  if (kind === "heat") {
    if (field) context.putImageData(app.painter.heat(field, width, height, style), 0, 0);
    else context.clearRect(0, 0, width, height);
  } else if (kind === "overlay" && field && (style.opacity > 0 || style.contour > 0)) {
    if (target?.width !== width || target.height !== height) target = new ImageData(width, height);
    context.putImageData(app.painter.over(keptPixels(image, width, height), field, style, target), 0, 0);
  } else drawPhoto(context, image, width, height);
}

/** An overlay as a canvas of any size, for a file. */
export function overlayCanvas(image: HTMLImageElement, field: Field, style: Look, width: number, height: number): HTMLCanvasElement {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  drawMap(canvas, "overlay", image, field, style);
  return canvas;
}

const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });

export function colourAt(image: HTMLImageElement, x: number, y: number): string {
  const context = pixel.getContext("2d", { willReadFrequently: true })!;
  const inside = (fraction: number, count: number): number => Math.min(count - 1, Math.floor(fraction * count));
  context.drawImage(image, inside(x, image.naturalWidth), inside(y, image.naturalHeight), 1, 1, 0, 0, 1, 1);
  return `rgb ${context.getImageData(0, 0, 1, 1).data.slice(0, 3).join(" ")}`;
}
