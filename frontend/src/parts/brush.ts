// Painting over a picture what shall be covered: with a pointer, a finger, a pen; with the keyboard by a box.

import { fill, fresh, h } from "../dom";

/** Cells of the mask along its longer side. */
const CELLS = 128;
const SIDE = 640;
const STEPS_BACK = 40;

export interface Cells {
  width: number;
  height: number;
  /** 1 where it is covered, row by row. */
  marked: Uint8Array;
}

export class Brush {
  readonly element: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  cells: Cells = { width: 1, height: 1, marked: new Uint8Array(1) };
  /** Of the brush's radius, in shares of the longer side. */
  size = 0.06;
  erasing = false;
  /** Something is covered otherwise; `painting` while a stroke goes on. */
  onchange: (painting: boolean) => void = () => {};
  private readonly where = h("output", { class: "reading-box" });
  private image: HTMLImageElement | null = null;
  /** What the network sees of the picture: left, top, right, bottom in shares of it. */
  private seen: [number, number, number, number] = [0, 0, 1, 1];
  private readonly past: Uint8Array[] = [];
  /** The box of the keyboard: its middle and its sides, in shares of the picture. */
  private box = { x: 0.5, y: 0.5, side: 0.3 };
  private boxed = false;
  private last: [number, number] | null = null;
  private pointer: [number, number] | null = null;
  private queued = false;

  constructor() {
    const how = fresh("how");
    this.canvas = h("canvas", {
      role: "application",
      tabindex: 0,
      width: 1,
      height: 1,
      "aria-label": "The picture, to be painted over",
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
        "Paint with the pointer. With the keyboard: arrows move a box (Shift: further), + and − change its size, ",
        "Enter covers what is in it, Delete uncovers it, Ctrl + Z takes the last step back.",
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
  set(image: HTMLImageElement, seen: [number, number, number, number] = [0, 0, 1, 1]): void {
    this.image = image;
    this.seen = seen;
    const longest = Math.max(image.naturalWidth, image.naturalHeight);
    const of = (length: number, most: number): number => Math.max(1, Math.round((length / longest) * most));
    const [width, height] = [of(image.naturalWidth, CELLS), of(image.naturalHeight, CELLS)];
    this.cells = { width, height, marked: new Uint8Array(width * height) };
    this.canvas.width = of(image.naturalWidth, SIDE);
    this.canvas.height = of(image.naturalHeight, SIDE);
    this.past.length = 0;
    this.draw();
  }

  /** How much is covered, 0 to 1. */
  get share(): number {
    return this.cells.marked.reduce((sum, one) => sum + one, 0) / this.cells.marked.length;
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  /** Cover just this. */
  cover(marked: Uint8Array): void {
    this.keep();
    this.cells.marked.set(marked);
    this.changed(false);
  }

  clear(): void {
    if (this.cells.marked.some(Boolean)) this.cover(new Uint8Array(this.cells.marked.length));
  }

  undo(): void {
    const before = this.past.pop();
    if (!before) return;
    this.cells.marked.set(before);
    this.changed(false);
  }

  /** Cover, or uncover, what is in the keyboard's box. */
  fillBox(value: 0 | 1): void {
    this.keep();
    const { width, height, marked } = this.cells;
    const [left, top, right, bottom] = this.edges();
    for (let y = Math.floor(top * height); y < Math.ceil(bottom * height); y++)
      for (let x = Math.floor(left * width); x < Math.ceil(right * width); x++)
        if (x >= 0 && y >= 0 && x < width && y < height) marked[y * width + x] = value;
    this.changed(false);
  }

  /** Show where the keyboard's box is. */
  showBox(on: boolean): void {
    this.boxed = on;
    this.tell();
    this.draw();
  }

  /** The mask as the server reads it: bits row by row, the highest first. */
  packed(): { width: number; height: number; bits: string } {
    const { width, height, marked } = this.cells;
    const bytes = new Uint8Array(Math.ceil(marked.length / 8));
    marked.forEach((one, i) => {
      if (one) bytes[i >> 3] = bytes[i >> 3]! | (0x80 >> (i & 7));
    });
    return { width, height, bits: btoa(String.fromCharCode(...bytes)) };
  }

  private begin(event: PointerEvent): void {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.boxed = false;
    this.tell();
    this.canvas.setPointerCapture(event.pointerId);
    this.keep();
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
    const { width, height, marked } = this.cells;
    const pressed = event.pointerType === "pen" && event.pressure > 0 ? 0.5 + event.pressure : 1;
    const radius = Math.max(0.6, this.size * pressed * Math.max(width, height));
    const from = this.last ?? to;
    const far = Math.hypot((to[0] - from[0]) * width, (to[1] - from[1]) * height);
    const steps = Math.max(1, Math.ceil(far / Math.max(0.5, radius / 3)));
    for (let step = 0; step <= steps; step++) {
      const x = (from[0] + ((to[0] - from[0]) * step) / steps) * width;
      const y = (from[1] + ((to[1] - from[1]) * step) / steps) * height;
      disc(marked, width, height, x, y, radius, this.erasing ? 0 : 1);
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

  /** The box's left, top, right, bottom, in shares of the picture: as wide as high on it. */
  private edges(): [number, number, number, number] {
    const { width, height } = this.cells;
    const shorter = Math.min(width, height);
    const [wide, high] = [(this.box.side * shorter) / width / 2, (this.box.side * shorter) / height / 2];
    return [this.box.x - wide, this.box.y - high, this.box.x + wide, this.box.y + high];
  }

  private tell(): void {
    const { x, y, side } = this.box;
    const words = `Box at ${Math.round(100 * x)} % from the left, ${Math.round(100 * y)} % from the top, ${Math.round(100 * side)} % wide`;
    fill(this.where, this.boxed && words);
  }

  private keep(): void {
    this.past.push(this.cells.marked.slice());
    if (this.past.length > STEPS_BACK) this.past.shift();
  }

  private changed(painting: boolean): void {
    this.draw();
    this.onchange(painting);
  }

  private draw(): void {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.drawNow();
    });
  }

  /** What the network never sees is greyed: to paint there changes nothing. */
  private dim(context: CanvasRenderingContext2D): void {
    const { width, height } = this.canvas;
    const [left, top, right, bottom] = this.seen;
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(left * width, top * height, (right - left) * width, (bottom - top) * height);
    context.fillStyle = "rgb(128 128 134 / 0.6)";
    context.fill("evenodd");
  }

  private drawNow(): void {
    if (!this.image) return;
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d")!;
    context.imageSmoothingEnabled = Math.max(this.image.naturalWidth, this.image.naturalHeight) > 96;
    context.drawImage(this.image, 0, 0, width, height);
    context.imageSmoothingEnabled = true;
    context.drawImage(veil(this.cells), 0, 0, width, height);
    this.dim(context);
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

/** A white line with a dark one beside it: visible on any picture. */
function outlined(context: CanvasRenderingContext2D, line: number, path: () => void): void {
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

function disc(marked: Uint8Array, width: number, height: number, x: number, y: number, radius: number, value: number): void {
  const [top, bottom] = [Math.max(0, Math.floor(y - radius)), Math.min(height - 1, Math.ceil(y + radius))];
  const [left, right] = [Math.max(0, Math.floor(x - radius)), Math.min(width - 1, Math.ceil(x + radius))];
  for (let row = top; row <= bottom; row++)
    for (let column = left; column <= right; column++)
      if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius ** 2) marked[row * width + column] = value;
}

/** What is covered, hatched: to be seen on any picture, and without telling colours apart. */
function veil({ width, height, marked }: Cells): HTMLCanvasElement {
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
