// Points on a canvas: zoom, pan; by pointer, fingers, wheel and keys.

import { framed, fresh, h } from "../../dom";
import { drawDots, type Dress } from "./dots";
import { type Dots, EDGE, Places } from "./places";

const MOST = 60;
const REACH = 12;

export class Plane {
  readonly element: HTMLElement;
  readonly canvas = h("canvas", { tabindex: 0, role: "application" });
  private dots: Dots = { x: [], y: [] };
  private dress: Dress = { colours: [], crossed: [], muted: [] };
  private places = new Places({ x: [], y: [] }, 1, 1);
  private zoom = 1;
  private shift: [number, number] = [0, 0];
  private size: [number, number] = [1, 1];
  private marked: number | null = null;
  private near: readonly number[] = [];
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
        "Arrow keys select the nearest point in that direction, Enter explains it; + and − zoom, Shift + arrow keys pan, 0 shows all.",
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
    const [x, y] = this.places.of(point);
    return [x * this.zoom + this.shift[0], y * this.zoom + this.shift[1]];
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
    this.places = new Places(this.dots, width, height);
    this.hold();
    this.draw();
  }

  /** The point under a place of the canvas, if one is near enough; muted ones are not there. */
  private under(x: number, y: number): number | null {
    const [u, v] = [(x - this.shift[0]) / this.zoom, (y - this.shift[1]) / this.zoom];
    return this.places.nearest(u, v, (REACH + this.radius) / this.zoom, this.dress.muted);
  }

  private get radius(): number {
    const usual = this.dots.x.length > 2000 ? 2.4 : this.dots.x.length > 400 ? 3.4 : 4.6;
    return Math.min(8, usual * this.zoom ** 0.35);
  }

  private readonly draw = framed(() => this.drawNow());

  private drawNow(): void {
    const by = this.canvas.width / this.size[0];
    const { dress, marked, near, radius, size } = this;
    const place = (point: number): [number, number] => this.placeOf(point);
    drawDots(this.canvas, { count: this.dots.x.length, place, dress, radius, size, by, marked, near });
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
      const point = this.places.towards(this.marked, way, this.dress.muted);
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
