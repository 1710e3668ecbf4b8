// Photographs on a canvas: small ones as plain squares, large ones smooth.

/** Pictures up to this long are enlarged as plain squares: so small, their pixels are what there is to see. */
const TINY = 96;

export const isTiny = (image: HTMLImageElement): boolean => Math.max(image.naturalWidth, image.naturalHeight) <= TINY;

/** Draw it over the whole canvas. */
export function photo(context: CanvasRenderingContext2D, image: HTMLImageElement, width: number, height: number): void {
  context.imageSmoothingEnabled = !isTiny(image);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
}

/** How large its canvas is, if the longer side is `side`; a tiny one a whole number of times as large. */
export function sizeOf(image: HTMLImageElement, side: number): [number, number] {
  const longest = Math.max(image.naturalWidth, image.naturalHeight);
  const factor = isTiny(image) ? Math.max(1, Math.floor(side / longest)) : side / longest;
  return [Math.max(1, Math.round(image.naturalWidth * factor)), Math.max(1, Math.round(image.naturalHeight * factor))];
}

/** Its pixels at a size. */
export function pixels(image: HTMLImageElement, width = image.naturalWidth, height = image.naturalHeight): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  photo(context, image, width, height);
  return context.getImageData(0, 0, width, height);
}
