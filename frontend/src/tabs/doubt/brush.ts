// Painting over a picture what shall be covered: with a pointer, a finger, a pen; with the keyboard by a box.

import { fill, framed, fresh, h } from "../../dom";
import { drawn, outlined } from "./covering";
import { type Box, Mask } from "./mask";

/** Cells of the mask along its longer side. */
const CELLS = 128;
const SIDE = 640;

export class Brush {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  mask = new Mask(1, 1);
  /** Of the brush's radius, in shares of the longer side. */
  size = 0.06;
  erasing = false;
  /** Something is covered otherwise; `painting` while a stroke goes on. */
  onchange: (painting: boolean) => void = () => {};
  private readonly where = h("output", { class: "reading-box" });
  private image: HTMLImageElement | null = null;
  /** What the network sees of the picture: left, top, right, bottom in shares of it. */
  private seen: Box = [0, 0, 1, 1];
  /** The box of the keyboard: its middle and its sides, in shares of the picture. */
  private box = { x: 0.5, y: 0.5, side: 0.3 };
  private boxed = false;
  private last: [number, number] | null = null;
  private pointer: [number, number] | null = null;

  constructor() {
    const how = fresh("how");
    this.canvas = h("canvas", {
      role: "application",
      tabindex: 0,
      width: 1,
      height: 1,
      "aria-label": "The image, for painting a mask",
      "aria-describedby": how,
    });
    this.element = h(
      "div",
      { class: "brush" },
      h("div", { class: "frame" }, this.canvas),
      this.where,
      h(
        "p",
        { class: "note", id: how },
        "Paint with the pointer. Keyboard: arrow keys move a box (with Shift: faster), + and − change its size, ",
        "Enter occludes it, Delete restores it, Ctrl + Z undoes the last step.",
      ),
    );
    this.canvas.addEventListener("pointerdown", (event) => this.begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"] as const) this.canvas.addEventListener(end, () => this.end());
    this.canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.draw();
    });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("focus", () => {
      this.boxed = this.canvas.matches(":focus-visible");
      this.tell();
      this.draw();
    });
    this.canvas.addEventListener("blur", () => {
      this.boxed = false;
      this.tell();
      this.draw();
    });
  }

  /** Another picture: nothing is covered, nothing can be taken back. */
  set(image: HTMLImageElement, seen: Box = [0, 0, 1, 1]): void {
    this.image = image;
    this.seen = seen;
    const longest = Math.max(image.naturalWidth, image.naturalHeight);
    const of = (length: number, most: number): number => Math.max(1, Math.round((length / longest) * most));
    this.mask = new Mask(of(image.naturalWidth, CELLS), of(image.naturalHeight, CELLS));
    this.canvas.width = of(image.naturalWidth, SIDE);
    this.canvas.height = of(image.naturalHeight, SIDE);
    this.draw();
  }

  /** Cover just this. */
  cover(marked: Uint8Array): void {
    this.mask.keep();
    this.mask.marked.set(marked);
    this.changed(false);
  }

  clear(): void {
    if (this.mask.share > 0) this.cover(new Uint8Array(this.mask.marked.length));
  }

  undo(): void {
    if (!this.mask.canUndo) return;
    this.mask.undo();
    this.changed(false);
  }

  /** Cover, or uncover, what is in the keyboard's box. */
  fillBox(value: 0 | 1): void {
    this.mask.keep();
    this.mask.box(this.edges(), value);
    this.changed(false);
  }

  /** Show where the keyboard's box is. */
  showBox(on: boolean): void {
    this.boxed = on;
    this.tell();
    this.draw();
  }

  private begin(event: PointerEvent): void {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.boxed = false;
    this.tell();
    this.canvas.setPointerCapture(event.pointerId);
    this.mask.keep();
    this.last = this.at(event);
    this.stroke(this.last, event);
  }

  private move(event: PointerEvent): void {
    this.pointer = this.at(event);
    if (this.last) {
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const one of passed.length ? passed : [event]) this.stroke(this.at(one), one);
    } else this.draw();
  }

  private end(): void {
    if (!this.last) return;
    this.last = null;
    this.changed(false);
  }

  /** Where on the picture, in shares of its sides. */
  private at(event: PointerEvent): [number, number] {
    const frame = this.canvas.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
  }

  /** Discs from the last place to this one; a pen that is pressed harder paints wider. */
  private stroke(to: [number, number], event: PointerEvent): void {
    const { width, height } = this.mask;
    const pressed = event.pointerType === "pen" && event.pressure > 0 ? 0.5 + event.pressure : 1;
    const radius = Math.max(0.6, this.size * pressed * Math.max(width, height));
    const from = this.last ?? to;
    const far = Math.hypot((to[0] - from[0]) * width, (to[1] - from[1]) * height);
    const steps = Math.max(1, Math.ceil(far / Math.max(0.5, radius / 3)));
    for (let step = 0; step <= steps; step++) {
      const [x, y] = [0, 1].map((i) => from[i]! + ((to[i]! - from[i]!) * step) / steps) as [number, number];
      this.mask.disc(x, y, radius, this.erasing ? 0 : 1);
    }
    this.last = to;
    this.changed(true);
  }

  private key(event: KeyboardEvent): void {
    const far = event.shiftKey ? 0.15 : 0.03;
    const { box } = this;
    const moves: Record<string, () => void> = {
      ArrowLeft: () => (box.x -= far),
      ArrowRight: () => (box.x += far),
      ArrowUp: () => (box.y -= far),
      ArrowDown: () => (box.y += far),
      "+": () => (box.side += 0.05),
      "=": () => (box.side += 0.05),
      "-": () => (box.side -= 0.05),
      Enter: () => this.fillBox(1),
      " ": () => this.fillBox(1),
      Delete: () => this.fillBox(0),
      Backspace: () => this.fillBox(0),
    };
    if ((event.ctrlKey || event.metaKey) && event.key === "z") this.undo();
    else if (moves[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) moves[event.key]!();
    else return;
    event.preventDefault();
    box.x = Math.min(1, Math.max(0, box.x));
    box.y = Math.min(1, Math.max(0, box.y));
    box.side = Math.min(1, Math.max(0.05, box.side));
    this.boxed = true;
    this.tell();
    this.draw();
  }

  /** The box, as wide as high on the picture. */
  private edges(): Box {
    const { width, height } = this.mask;
    const shorter = Math.min(width, height);
    const [wide, high] = [(this.box.side * shorter) / width / 2, (this.box.side * shorter) / height / 2];
    return [this.box.x - wide, this.box.y - high, this.box.x + wide, this.box.y + high];
  }

  private tell(): void {
    const { x, y, side } = this.box;
    const words = `Box at ${Math.round(100 * x)} % from the left, ${Math.round(100 * y)} % from the top, ${Math.round(100 * side)} % wide`;
    fill(this.where, this.boxed && words);
  }

  private changed(painting: boolean): void {
    this.draw();
    this.onchange(painting);
  }

  private readonly draw = framed(() => this.drawNow());

  private drawNow(): void {
    if (!this.image) return;
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d")!;
    drawn(context, this.image, this.mask, this.seen);
    const line = Math.max(1.5, width / 320);
    if (this.boxed) {
      const [left, top, right, bottom] = this.edges();
      outlined(context, line, () => context.rect(left * width, top * height, (right - left) * width, (bottom - top) * height));
    } else if (this.pointer) {
      const [x, y] = this.pointer;
      const radius = this.size * Math.max(width, height);
      outlined(context, line, () => context.arc(x * width, y * height, radius, 0, 2 * Math.PI));
    }
  }
}
