// What the page hands over as a file.

import { h } from "../dom";

/** Long enough for the browser to begin with it. */
const KEPT = 60_000;

export function save(content: Blob, name: string): void {
  const link = h("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT);
}

/** A canvas as a PNG. */
export async function png(canvas: HTMLCanvasElement): Promise<Blob> {
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error("The browser could not encode the image.");
  return blob;
}
