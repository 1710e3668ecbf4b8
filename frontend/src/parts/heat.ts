// A picture with its map: the photo, the heat alone, or the heat over the photo. Drawn here; no request for any of it.

import { fill, framed, h } from "../dom";
import type { Field } from "../maps/field";
import type { Look, Painter } from "../maps/painter";
import { short } from "../numbers";
import { drawPhoto as photo, photoPixels as pixels, photoSize as sizeOf } from "../shared/photo";

export type Kind = "photo" | "heat" | "overlay";

/** The longest side of the canvas, in its own pixels; the style sheet says how large it is on the screen. */
const SIDE = 512;
/** The same while somebody looks closer. */
const CLOSE = 1024;

/** Which part of the picture fills the frame: `k` times as large, from (x, y) on, as shares of its sides. */
export interface Window {
  k: number;
  x: number;
  y: number;
}

const WHOLE: Window = { k: 1, x: 0, y: 0 };

export class HeatView {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  private readonly frame: HTMLElement;
  private readonly caption = h("figcaption");
  private readonly reading = h("output", { class: "reading", "aria-hidden": "true" });
  private readonly cross = h("span", { class: "cross", "aria-hidden": "true" });
  private image: HTMLImageElement | null = null;
  private field: Field | null = null;
  private look: Look | null = null;
  private base: { image: HTMLImageElement; pixels: ImageData } | null = null;
  private window = WHOLE;
  private at: [number, number] | null = null;
  /** Told where on the picture (in its own pixels) the pointer is, or null when it leaves. */
  onpoint: ((x: number | null, y: number | null) => void) | null = null;

  constructor(
    readonly kind: Kind,
    private readonly painter: Painter,
    private readonly side = SIDE,
  ) {
    this.canvas = h("canvas", { role: "img", width: 1, height: 1, "aria-label": "No image yet" });
    this.frame = h("div", { class: "frame" }, this.canvas, this.cross, this.reading);
    this.element = h("figure", { class: `view ${kind}` }, this.frame, this.caption);
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
  }

  /** What to draw: the picture, its map (none yet: the photo alone), and how. `words` say what it shows. */
  set(image: HTMLImageElement, field: Field | null, look: Look, words: string): void {
    if (image !== this.image) this.leave();
    this.image = image;
    this.field = field;
    this.look = look;
    this.canvas.setAttribute("aria-label", words);
    fill(this.caption, words);
    this.draw();
  }

  /** Only paint otherwise. */
  paint(look: Look): void {
    const other = this.look === null || this.mattering(look) !== this.mattering(this.look);
    this.look = look;
    if (other) this.draw();
  }

  /** What of it can be seen here. */
  private mattering({ opacity, colormap, threshold, contour, blend }: Look): string {
    if (this.kind === "photo") return "";
    return this.kind === "heat" ? `${colormap} ${threshold}` : [opacity, colormap, threshold, contour, blend].join(" ");
  }

  clear(): void {
    this.image = this.field = this.base = null;
    this.canvas.width = this.canvas.height = 1;
    fill(this.caption);
  }

  /** Show a part of the picture. */
  zoom(window: Window): void {
    const close = window.k > 1.5;
    const other = close !== this.window.k > 1.5;
    this.window = window;
    this.canvas.style.transformOrigin = "0 0";
    const { k, x, y } = window;
    this.canvas.style.transform = k > 1 ? `scale(${k}) translate(${-100 * x}%, ${-100 * y}%)` : "";
    this.frame.classList.toggle("close", k > 1);
    if (other) this.draw();
    if (this.at) this.mark(...this.at);
  }

  /** Let the keyboard in: the arrows move a mark over the picture, whose value is read out. */
  explorable(): void {
    this.canvas.tabIndex = 0;
    this.canvas.addEventListener("keydown", (event) => this.walk(event));
    this.canvas.addEventListener("blur", () => this.leave());
  }

  /** Show the value at a point of the picture (in its own pixels), as if the pointer were there. */
  mark(x: number | null, y: number | null): void {
    if (x === null || y === null || !this.field || !this.image) {
      this.at = null;
      this.reading.classList.remove("on");
      this.cross.classList.remove("on");
      return;
    }
    this.at = [x, y];
    const [width, height] = this.field.place.original;
    const { k, ...from } = this.window;
    const [left, top] = [(x / width - from.x) * k, (y / height - from.y) * k];
    this.reading.textContent = `${short(this.field.at(x, y))} · ${this.colourAt(x / width, y / height)}`;
    for (const one of [this.reading, this.cross]) {
      one.style.left = `${100 * left}%`;
      one.style.top = `${100 * top}%`;
      one.classList.toggle("on", left >= 0 && left <= 1 && top >= 0 && top <= 1);
    }
    this.reading.classList.toggle("beside", left > 0.6);
  }

  /** The picture as it is drawn here, at any size: for a file. */
  drawn(width: number, height: number): HTMLCanvasElement {
    const canvas = h("canvas", { width, height });
    if (this.image && this.look) this.paintOn(canvas, this.image, this.look);
    return canvas;
  }

  private readonly draw = framed(() => this.drawNow());

  private drawNow(): void {
    const { image, look } = this;
    if (!image || !look) return;
    const [width, height] = sizeOf(image, this.window.k > 1.5 ? Math.max(this.side, CLOSE) : this.side);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.element.style.setProperty("--ratio", String(width / height));
    }
    this.paintOn(this.canvas, image, look);
  }

  private paintOn(canvas: HTMLCanvasElement, image: HTMLImageElement, look: Look): void {
    const { width, height } = canvas;
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    if (this.kind === "heat") {
      if (this.field) context.putImageData(this.painter.heat(this.field, width, height, look), 0, 0);
      else context.clearRect(0, 0, width, height);
    } else if (this.kind === "overlay" && this.field && (look.opacity > 0 || look.contour > 0)) {
      const base = this.behind(image, width, height);
      context.putImageData(this.painter.over(base, this.field, look, new ImageData(width, height)), 0, 0);
    } else photo(context, image, width, height);
  }

  /** The photo's pixels: while only opacity or colours change they stay. */
  private behind(image: HTMLImageElement, width: number, height: number): ImageData {
    const { base } = this;
    if (base?.image !== image || base.pixels.width !== width || base.pixels.height !== height)
      this.base = { image, pixels: pixels(image, width, height) };
    return this.base!.pixels;
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
    this.go(((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height, false);
  }

  /** To the middle of the pixel there: what is read is what the library has for that pixel. */
  private go(x: number, y: number, aloud: boolean): void {
    const [width, height] = this.field!.place.original;
    const [px, py] = [middle(x, width), middle(y, height)];
    this.reading.setAttribute("aria-hidden", String(!aloud));
    this.mark(px, py);
    this.onpoint?.(px, py);
  }

  private walk(event: KeyboardEvent): void {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") this.leave();
    if (!step || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey || !this.field) return;
    event.preventDefault();
    const { k, x, y } = this.window;
    const [width, height] = this.field.place.original;
    const far = Math.max(1, Math.round(Math.max(width, height) / (64 * k)));
    const [fromX, fromY] = this.at ?? [(x + 0.5 / k) * width, (y + 0.5 / k) * height];
    const by = this.at ? far : 0;
    this.go(fromX + by * step[0]!, fromY + by * step[1]!, true);
  }

  private leave(): void {
    if (!this.at) return;
    this.mark(null, null);
    this.onpoint?.(null, null);
  }
}

const middle = (place: number, count: number): number => Math.min(Math.max(Math.floor(place), 0), count - 1) + 0.5;

const pixel = document.createElement("canvas");
pixel.width = pixel.height = 1;

/** What is read in one of them is read in all at the same place. */
export function linked(views: readonly HeatView[]): void {
  for (const view of views) view.onpoint = (x, y) => views.forEach((other) => other !== view && other.mark(x, y));
}
