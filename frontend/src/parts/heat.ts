// A picture with its map: the photo, the heat alone, or the heat over the photo. Drawn here; no request for any of it.

import { fill, h } from "../dom";
import { type Field, type Look, type Painter, short } from "../maps";

export type Kind = "photo" | "heat" | "overlay";

/** The longest side of the canvas, in its own pixels; the style sheet says how large it is on the screen. */
const SIDE = 512;
/** Pictures up to this long are enlarged as plain squares: so small, their pixels are what there is to see. */
const TINY = 96;

export class HeatView {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  private readonly caption = h("figcaption");
  private readonly reading = h("output", { class: "reading", "aria-hidden": "true" });
  private image: HTMLImageElement | null = null;
  private field: Field | null = null;
  private look: Look | null = null;
  private queued = false;
  /** Told where on the picture (in its own pixels) the pointer is, or null when it leaves. */
  onpoint: ((x: number | null, y: number | null) => void) | null = null;

  constructor(
    readonly kind: Kind,
    private readonly painter: Painter,
    private readonly side = SIDE,
  ) {
    this.canvas = h("canvas", { role: "img", width: 1, height: 1 });
    this.element = h(
      "figure",
      { class: `view ${kind}` },
      h("div", { class: "frame" }, this.canvas, this.reading),
      this.caption,
    );
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
  }

  /** What to draw: the picture, its map (none yet: the photo alone), and how. `words` say what it shows. */
  set(image: HTMLImageElement, field: Field | null, look: Look, words: string): void {
    this.image = image;
    this.field = field;
    this.look = look;
    this.canvas.setAttribute("aria-label", words);
    fill(this.caption, words);
    this.draw();
  }

  /** Only paint otherwise. */
  paint(look: Look): void {
    this.look = look;
    this.draw();
  }

  clear(): void {
    this.image = this.field = null;
    this.canvas.width = this.canvas.height = 1;
    fill(this.caption);
  }

  /** Show the value at a point of the picture (in its own pixels), as if the pointer were there. */
  mark(x: number | null, y: number | null): void {
    if (x === null || y === null || !this.field || !this.image) {
      this.reading.classList.remove("on");
      return;
    }
    const [width, height] = this.field.place.original;
    const pixel = this.colourAt(x / width, y / height);
    this.reading.textContent = `${short(this.field.at(x, y))} · ${pixel}`;
    this.reading.style.left = `${(100 * x) / width}%`;
    this.reading.style.top = `${(100 * y) / height}%`;
    this.reading.classList.toggle("beside", x > width * 0.6);
    this.reading.classList.add("on");
  }

  private draw(): void {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.drawNow();
    });
  }

  private drawNow(): void {
    const { image, look } = this;
    if (!image || !look) return;
    const [width, height] = sizeOf(image, this.side);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.element.style.setProperty("--ratio", String(width / height));
    }
    const context = this.canvas.getContext("2d", { willReadFrequently: true })!;
    if (this.kind === "heat" && this.field) {
      context.putImageData(this.painter.heat(this.field, width, height, look), 0, 0);
      return;
    }
    photo(context, image, width, height);
    if (this.kind === "overlay" && this.field && look.opacity > 0)
      context.putImageData(this.painter.over(context.getImageData(0, 0, width, height), this.field, look), 0, 0);
  }

  /** The photo's own colour at shares of its sides. */
  private colourAt(x: number, y: number): string {
    const image = this.image!;
    const context = pixel.getContext("2d", { willReadFrequently: true })!;
    const sx = Math.min(image.naturalWidth - 1, Math.floor(x * image.naturalWidth));
    const sy = Math.min(image.naturalHeight - 1, Math.floor(y * image.naturalHeight));
    context.drawImage(image, sx, sy, 1, 1, 0, 0, 1, 1);
    const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
    return `rgb ${r} ${g} ${b}`;
  }

  private point(event: PointerEvent): void {
    if (!this.field) return;
    const box = this.canvas.getBoundingClientRect();
    const [width, height] = this.field.place.original;
    const x = ((event.clientX - box.left) / box.width) * width;
    const y = ((event.clientY - box.top) / box.height) * height;
    this.mark(x, y);
    this.onpoint?.(x, y);
  }

  private leave(): void {
    this.mark(null, null);
    this.onpoint?.(null, null);
  }
}

const pixel = document.createElement("canvas");
pixel.width = pixel.height = 1;

export function photo(context: CanvasRenderingContext2D, image: HTMLImageElement, width: number, height: number): void {
  context.imageSmoothingEnabled = Math.max(image.naturalWidth, image.naturalHeight) > TINY;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
}

export function sizeOf(image: HTMLImageElement, side: number): [number, number] {
  const longest = Math.max(image.naturalWidth, image.naturalHeight);
  const factor = longest <= TINY ? Math.max(1, Math.floor(side / longest)) : side / longest;
  return [Math.max(1, Math.round(image.naturalWidth * factor)), Math.max(1, Math.round(image.naturalHeight * factor))];
}
