// An image with its map on a canvas: the photo, the map alone, or the map over the photo. No request for any of it.

import { app } from "../state/app";
import type { Field } from "../maps/field";
import type { Look } from "../maps/painter";
import { drawPhoto, keptPixels, photoSize } from "./photo";

export type Kind = "photo" | "heat" | "overlay" | "classes";

/** The part of the style that a kind of view depends on. */
export function relevantStyle(kind: Kind, { opacity, colormap, threshold, contour, blend }: Look): string {
  if (kind === "photo" || kind === "classes") return "";
  return kind === "heat" ? `${colormap} ${threshold}` : [opacity, colormap, threshold, contour, blend].join(" ");
}

/** Resize a canvas to the image. */
export function fit(canvas: HTMLCanvasElement, image: HTMLImageElement, side: number): void {
  const [width, height] = photoSize(image, side);
  if (canvas.width === width && canvas.height === height) return;
  canvas.width = width;
  canvas.height = height;
}

/** Draws onto canvases of any size. */
export class MapDrawing {
  /** What is drawn into before it is put on the canvas; one for all drawings of a size. */
  private target: ImageData | null = null;

  constructor(readonly kind: Kind) {}

  /** Resize a canvas to the image and draw. */
  draw(canvas: HTMLCanvasElement, image: HTMLImageElement, field: Field | null, style: Look, side: number): void {
    fit(canvas, image, side);
    this.drawOn(canvas, image, field, style);
  }

  /** Draw at the size that the canvas has. */
  drawOn(canvas: HTMLCanvasElement, image: HTMLImageElement, field: Field | null, style: Look): void {
    const { width, height } = canvas;
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    if (this.kind === "heat") {
      if (field) context.putImageData(app.painter.heat(field, width, height, style), 0, 0);
      else context.clearRect(0, 0, width, height);
    } else if (this.kind === "overlay" && field && (style.opacity > 0 || style.contour > 0)) {
      const base = keptPixels(image, width, height);
      if (this.target?.width !== width || this.target.height !== height) this.target = new ImageData(width, height);
      context.putImageData(app.painter.over(base, field, style, this.target), 0, 0);
    } else drawPhoto(context, image, width, height);
  }
}

/** An overlay as a canvas of any size, for a file. */
export function overlayCanvas(image: HTMLImageElement, field: Field, style: Look, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  new MapDrawing("overlay").drawOn(canvas, image, field, style);
  return canvas;
}

const pixel = document.createElement("canvas");
pixel.width = pixel.height = 1;

/** The colour of an image at fractions of its sides, as text. */
export function colourAt(image: HTMLImageElement, x: number, y: number): string {
  const context = pixel.getContext("2d", { willReadFrequently: true })!;
  const sx = Math.min(image.naturalWidth - 1, Math.floor(x * image.naturalWidth));
  const sy = Math.min(image.naturalHeight - 1, Math.floor(y * image.naturalHeight));
  context.drawImage(image, sx, sy, 1, 1, 0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  return `rgb ${r} ${g} ${b}`;
}
