// Photographs on a canvas: small ones as plain squares, large ones smooth.

/** Images up to this long are enlarged without interpolation: their pixels are what there is to see. */
const TINY_PX = 96;

export const isTiny = (image: HTMLImageElement): boolean => Math.max(image.naturalWidth, image.naturalHeight) <= TINY_PX;

export function drawPhoto(context: CanvasRenderingContext2D, image: HTMLImageElement, width: number, height: number): void {
  context.imageSmoothingEnabled = !isTiny(image);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
}

/** The size of its canvas, if the longer side is `side`; tiny images are enlarged by an integer. */
export function photoSize(image: HTMLImageElement, side: number): [number, number] {
  const { naturalWidth, naturalHeight } = image;
  const scale = side / Math.max(naturalWidth, naturalHeight);
  const factor = isTiny(image) ? Math.max(1, Math.floor(scale)) : scale;
  return [Math.max(1, Math.round(naturalWidth * factor)), Math.max(1, Math.round(naturalHeight * factor))];
}

export function photoPixels(image: HTMLImageElement, width = image.naturalWidth, height = image.naturalHeight): ImageData {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  drawPhoto(context, image, width, height);
  return context.getImageData(0, 0, width, height);
}

const MAX_KEPT = 6;
const kept: { image: HTMLImageElement; pixels: ImageData }[] = [];

/** The same, which are not to be changed; the last ones are kept, for other maps and styles of the same image. */
export function keptPixels(image: HTMLImageElement, width: number, height: number): ImageData {
  const known = kept.find((one) => one.image === image && one.pixels.width === width && one.pixels.height === height);
  if (known) return known.pixels;
  const pixels = photoPixels(image, width, height);
  kept.unshift({ image, pixels });
  kept.length = Math.min(kept.length, MAX_KEPT);
  return pixels;
}
