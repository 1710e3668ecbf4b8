// Points on a canvas: zoom, pan, which one is under the pointer, which one lies next in a direction.

import { fresh, h } from "../../dom";

export interface Dots {
  x: readonly number[];
  y: readonly number[];
}

/** How the points look: a colour each (or the style sheet's name of one, "--soft"), a cross for what is wrong, hardly visible for what is muted. */
export interface Dress {
  colours: readonly string[];
  crossed: readonly boolean[];
  muted: readonly boolean[];
}

const EDGE = 22;
const CELL = 24;
const MOST = 60;
const REACH = 12;

export class Plane {
  readonly element: HTMLElement;
  readonly canvas = h("canvas", { tabindex: 0, role: "application" });
  private dots: Dots = { x: [], y: [] };
  private dress: Dress = { colours: [], crossed: [], muted: [] };
  /** Places at zoom 1, in CSS pixels. */
  private at = new Float32Array(0);
  private cells = new Map<number, number[]>();
  private zoom = 1;
  private shift: [number, number] = [0, 0];
  private size: [number, number] = [1, 1];
  private marked: number | null = null;
  private near: readonly number[] = [];
  private queued = false;
  private readonly fingers = new Map<number, [number, number]>();
  private moved = 0;
  /** The point that the pointer or the keyboard has come to. */
  onmark: ((point: number) => void) | null = null;
  /** A point that was clicked, or chosen with Enter; `touched`: by a finger, which cannot hover first. */
  onpick: ((point: number, touched: boolean) => void) | null = null;

  constructor(words: string) {
    const help = fresh("plane-help");
    this.canvas.setAttribute("aria-describedby", help);
    this.canvas.setAttribute("aria-label", words);
    const button = (sign: string, name: string, run: () => void): HTMLElement =>
      h("button", { "aria-label": name, title: name, onclick: run }, sign);
    this.element = h(
      "div",
      { class: "plane" },
      this.canvas,
      h(
        "div",
        { class: "zooms" },
        button("+", "Zoom in", () => this.scale(1.5)),
        button("−", "Zoom out", () => this.scale(1 / 1.5)),
        button("⤢", "Show all points", () => this.reset()),
      ),
      h(
        "p",
        { class: "note", id: help },
        "Arrows go to the nearest point that way, Enter opens it in Look; + and − zoom, Shift and arrows move, 0 shows all.",
      ),
    );
    this.listen();
    new ResizeObserver(() => this.fit()).observe(this.canvas);
    const again = (): void => this.draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  set(dots: Dots, dress: Dress): void {
    this.dots = dots;
    this.dress = dress;
    this.marked = null;
    this.near = [];
    this.reset();
    this.fit();
  }

  paint(dress: Dress): void {
    this.dress = dress;
    this.draw();
  }

  /** Ring a point, and small rings round its neighbours. */
  mark(point: number | null, near: readonly number[] = []): void {
    this.marked = point;
    this.near = near;
    this.draw();
  }

  /** Where a point is on the canvas, in CSS pixels. */
  placeOf(point: number): [number, number] {
    return [this.at[2 * point]! * this.zoom + this.shift[0], this.at[2 * point + 1]! * this.zoom + this.shift[1]];
  }

  /** Bring a point into sight. */
  reveal(point: number): void {
    const [x, y] = this.placeOf(point);
    const [width, height] = this.size;
    if (x >= EDGE && y >= EDGE && x <= width - EDGE && y <= height - EDGE) return;
    this.shift = [this.shift[0] + width / 2 - x, this.shift[1] + height / 2 - y];
    this.hold();
    this.draw();
  }

  private reset(): void {
    this.zoom = 1;
    this.shift = [0, 0];
    this.canvas.classList.remove("zoomed");
    this.draw();
  }

  /** Zoom about a point of the canvas, its middle if none is said. */
  private scale(factor: number, x = this.size[0] / 2, y = this.size[1] / 2): void {
    const zoom = Math.min(MOST, Math.max(1, this.zoom * factor));
    const by = zoom / this.zoom;
    this.shift = [x - (x - this.shift[0]) * by, y - (y - this.shift[1]) * by];
    this.zoom = zoom;
    this.canvas.classList.toggle("zoomed", zoom > 1);
    this.hold();
    this.draw();
  }

  private pan(x: number, y: number): void {
    this.shift = [this.shift[0] + x, this.shift[1] + y];
    this.hold();
    this.draw();
  }

  /** The points stay on the canvas. */
  private hold(): void {
    this.shift = this.shift.map((at, i) => Math.min(0, Math.max(this.size[i]! * (1 - this.zoom), at))) as [number, number];
  }

  /** To the canvas's size: one scale for both axes, y upwards. */
  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const by = Math.min(3, devicePixelRatio || 1);
    this.size = [width, height];
    this.canvas.width = Math.round(width * by);
    this.canvas.height = Math.round(height * by);
    const { x, y } = this.dots;
    const [left, right, low, high] = [least(x), most(x), least(y), most(y)];
    const scale = Math.min((width - 2 * EDGE) / (right - left || 1e-9), (height - 2 * EDGE) / (high - low || 1e-9));
    const known = right > left || high > low ? scale : 0;
    this.at = new Float32Array(2 * x.length);
    this.cells = new Map();
    for (let i = 0; i < x.length; i++) {
      this.at[2 * i] = width / 2 + (x[i]! - (left + right) / 2) * known;
      this.at[2 * i + 1] = height / 2 - (y[i]! - (low + high) / 2) * known;
      const cell = cellOf(this.at[2 * i]!, this.at[2 * i + 1]!);
      const inside = this.cells.get(cell);
      if (inside) inside.push(i);
      else this.cells.set(cell, [i]);
    }
    this.hold();
    this.draw();
  }

  /** The point nearest to a place of the canvas, if one is near enough; muted ones are not there. */
  private under(x: number, y: number): number | null {
    const reach = (REACH + this.radius) / this.zoom;
    const [u, v] = [(x - this.shift[0]) / this.zoom, (y - this.shift[1]) / this.zoom];
    let best: number | null = null;
    let closest = reach ** 2;
    for (let a = Math.floor((u - reach) / CELL); a <= Math.floor((u + reach) / CELL); a++)
      for (let b = Math.floor((v - reach) / CELL); b <= Math.floor((v + reach) / CELL); b++)
        for (const i of this.cells.get(a * 100003 + b) ?? []) {
          const distance = (this.at[2 * i]! - u) ** 2 + (this.at[2 * i + 1]! - v) ** 2;
          if (distance <= closest && !this.dress.muted[i]) [best, closest] = [i, distance];
        }
    return best;
  }

  /** The nearest point within 45 degrees of a direction; the first one where none is marked yet. */
  private towards(dx: number, dy: number): number | null {
    const seen = [...this.dots.x.keys()].filter((i) => !this.dress.muted[i]);
    if (this.marked === null) return seen[0] ?? null;
    const [x, y] = [this.at[2 * this.marked]!, this.at[2 * this.marked + 1]!];
    let best: number | null = null;
    let closest = Infinity;
    for (const i of seen) {
      const [u, v] = [this.at[2 * i]! - x, this.at[2 * i + 1]! - y];
      const along = u * dx + v * dy;
      const distance = u * u + v * v;
      if (i !== this.marked && along > 0 && Math.abs(u * dy - v * dx) <= along && distance < closest)
        [best, closest] = [i, distance];
    }
    return best;
  }

  private get radius(): number {
    const usual = this.dots.x.length > 2000 ? 2.4 : this.dots.x.length > 400 ? 3.4 : 4.6;
    return Math.min(8, usual * this.zoom ** 0.35);
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
    const context = this.canvas.getContext("2d")!;
    const by = this.canvas.width / this.size[0];
    const style = getComputedStyle(this.canvas);
    const [ink, paper, soft] = ["--ink", "--paper", "--soft"].map((name) => style.getPropertyValue(name).trim());
    const named = new Map<string, string>();
    const plain = (colour: string): string => {
      if (!colour.startsWith("--")) return colour;
      if (!named.has(colour)) named.set(colour, style.getPropertyValue(colour).trim());
      return named.get(colour)!;
    };
    const r = this.radius;
    context.setTransform(by, 0, 0, by, 0, 0);
    context.clearRect(0, 0, ...this.size);
    context.lineJoin = context.lineCap = "round";
    const { colours, crossed, muted } = this.dress;
    const order = [...this.dots.x.keys()].sort((a, b) => rank(a) - rank(b));
    function rank(i: number): number {
      return muted[i] ? 0 : crossed[i] ? 2 : 1;
    }
    for (const i of order) {
      const [x, y] = this.placeOf(i);
      if (x < -r || y < -r || x > this.size[0] + r || y > this.size[1] + r) continue;
      context.globalAlpha = muted[i] ? 0.16 : 1;
      const colour = muted[i] ? soft! : plain(colours[i]!);
      context.beginPath();
      if (crossed[i]) {
        const d = r * 0.95;
        context.moveTo(x - d, y - d);
        context.lineTo(x + d, y + d);
        context.moveTo(x + d, y - d);
        context.lineTo(x - d, y + d);
        context.lineWidth = r * 0.95 + 1.6;
        context.strokeStyle = ink!;
        if (!muted[i]) context.stroke();
        context.lineWidth = r * 0.8;
        context.strokeStyle = colour;
        context.stroke();
      } else {
        context.arc(x, y, r, 0, 7);
        context.fillStyle = colour;
        context.fill();
        context.lineWidth = 0.8;
        context.strokeStyle = ink!;
        context.globalAlpha = 0.5; // dark dots on a dark ground have an edge, too
        if (!muted[i]) context.stroke();
      }
    }
    context.globalAlpha = 1;
    for (const i of this.near) this.ring(context, i, r + 3, ink!, paper!, 1.4);
    if (this.marked !== null) this.ring(context, this.marked, r + 5, ink!, paper!, 2.4);
  }

  private ring(context: CanvasRenderingContext2D, point: number, r: number, ink: string, paper: string, width: number): void {
    const [x, y] = this.placeOf(point);
    for (const [colour, more] of [
      [paper, 2],
      [ink, 0],
    ] as const) {
      context.beginPath();
      context.arc(x, y, r, 0, 7);
      context.lineWidth = width + more;
      context.strokeStyle = colour;
      context.stroke();
    }
  }

  private listen(): void {
    const canvas = this.canvas;
    const where = (event: MouseEvent): [number, number] => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.fingers.size) this.moved = 0;
      this.fingers.set(event.pointerId, where(event));
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const to = where(event);
      const from = this.fingers.get(event.pointerId);
      if (!from) {
        const point = this.under(...to);
        canvas.classList.toggle("over", point !== null);
        if (point !== null && point !== this.marked) this.onmark?.(point);
        return;
      }
      this.moved += Math.hypot(to[0] - from[0], to[1] - from[1]);
      const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
      this.fingers.set(event.pointerId, to);
      if (other) {
        const [before, after] = [from, to].map((at) => Math.hypot(at[0] - other[0], at[1] - other[1])) as [number, number];
        this.scale(after / (before || 1), (to[0] + other[0]) / 2, (to[1] + other[1]) / 2);
      } else this.pan(to[0] - from[0], to[1] - from[1]);
    });
    const lift = (event: PointerEvent): void => {
      const known = this.fingers.delete(event.pointerId);
      if (!known || event.type !== "pointerup" || this.moved > 5) return;
      const point = this.under(...where(event));
      if (point !== null) this.onpick?.(point, event.pointerType !== "mouse");
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.scale(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...where(event));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  private key(event: KeyboardEvent): void {
    const arrows: Record<string, [number, number]> = {
      ArrowRight: [1, 0],
      ArrowLeft: [-1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const way = arrows[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (way && event.shiftKey) this.pan(-60 * way[0], -60 * way[1]);
    else if (way) {
      const point = this.towards(...way);
      if (point !== null) {
        this.onmark?.(point);
        this.reveal(point);
      }
    } else if (event.key === "+" || event.key === "=") this.scale(1.5);
    else if (event.key === "-") this.scale(1 / 1.5);
    else if (event.key === "0" || event.key === "Escape") this.reset();
    else if (event.key === "Enter" && this.marked !== null) this.onpick?.(this.marked, false);
    else return;
    event.preventDefault();
  }
}

const cellOf = (x: number, y: number): number => Math.floor(x / CELL) * 100003 + Math.floor(y / CELL);
const least = (values: readonly number[]): number => values.reduce((a, b) => Math.min(a, b), Infinity);
const most = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity);
