// Points on a canvas: zoom and pan by pointer, fingers, wheel and keys; selection with a lasso.

import { type Ref } from "preact";
import { useId, useImperativeHandle, useLayoutEffect, useRef, useState } from "preact/hooks";
import { inNextFrame } from "../../shared/debounce";
import { type Coordinates, EDGE, insidePolygon, Layout } from "./layout";
import { drawingOrder, drawPoints, type PointStyle, type ThumbnailSheet } from "./points";

const MOST = 60;
const REACH = 12;
/** Points that are drawn as thumbnails at most; more would cover each other. */
export const MAX_THUMBNAILS = 500;
/** The sides of the smallest and of the largest thumbnail, in CSS pixels, and the part of the canvas that they cover. */
const SIDES_PX = [16, 40] as const;
const COVERED = 0.35;

/** The points on a canvas. It does not use Preact. */
export class ScatterPlot {
  private points: Coordinates = { x: [], y: [] };
  private style: PointStyle = { colours: [], crossed: [], muted: [] };
  private order: readonly number[] = [];
  private thumbnails: ThumbnailSheet | null = null;
  /** The path of the lasso that is being drawn. */
  private lasso: [number, number][] = [];
  /** Whether dragging draws a lasso instead of moving the points; with Shift it always does. */
  lassoOn = false;
  private layout = new Layout({ x: [], y: [] }, 1, 1);
  private zoom = 1;
  private shift: [number, number] = [0, 0];
  private size: [number, number] = [1, 1];
  private marked: number | null = null;
  private near: readonly number[] = [];
  private readonly fingers = new Map<number, [number, number]>();
  private moved = 0;
  private readonly stop = new AbortController();
  /** The point that the pointer or the keyboard has come to. */
  onMark: ((point: number) => void) | null = null;
  /** A point that was clicked, or selected with Enter; `touched`: by a finger, which cannot hover first. */
  onPick: ((point: number, touched: boolean) => void) | null = null;
  /** Points within a lasso. */
  onLasso: ((points: number[]) => void) | null = null;
  /** A point to be added to the selection, or removed from it, by the keyboard. */
  onToggle: ((point: number) => void) | null = null;
  onZoom: ((zoomed: boolean) => void) | null = null;

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.listen();
    const { signal } = this.stop;
    const resizes = new ResizeObserver(() => this.fit());
    resizes.observe(canvas);
    const again = (): void => this.draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again, { signal });
    const themes = new MutationObserver(again);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    signal.addEventListener("abort", () => {
      resizes.disconnect();
      themes.disconnect();
    });
  }

  close(): void {
    this.stop.abort();
  }

  set(points: Coordinates): void {
    this.points = points;
    this.marked = null;
    this.near = [];
    this.reset();
    this.fit();
  }

  paint(style: PointStyle): void {
    this.style = style;
    this.order = drawingOrder(style);
    this.draw();
  }

  /** Draw thumbnails instead of dots, where there is space for them; null for dots. */
  setThumbnails(sheet: ThumbnailSheet | null): void {
    this.thumbnails = sheet;
    this.draw();
  }

  /** Ring a point, and small rings round its neighbours. */
  mark(point: number | null, near: readonly number[] = []): void {
    this.marked = point;
    this.near = near;
    this.draw();
  }

  /** Where a point is on the canvas, in CSS pixels. */
  positionOf(point: number): [number, number] {
    const [x, y] = this.layout.of(point);
    return [x * this.zoom + this.shift[0], y * this.zoom + this.shift[1]];
  }

  /** Bring a point into sight. */
  reveal(point: number): void {
    const [x, y] = this.positionOf(point);
    const [width, height] = this.size;
    if (x >= EDGE && y >= EDGE && x <= width - EDGE && y <= height - EDGE) return;
    this.shift = [this.shift[0] + width / 2 - x, this.shift[1] + height / 2 - y];
    this.hold();
    this.draw();
  }

  reset(): void {
    this.zoom = 1;
    this.shift = [0, 0];
    this.canvas.classList.remove("zoomed");
    this.onZoom?.(false);
    this.draw();
  }

  /** Zoom about a point of the canvas, its middle if none is said. */
  scale(factor: number, x = this.size[0] / 2, y = this.size[1] / 2): void {
    const zoom = Math.min(MOST, Math.max(1, this.zoom * factor));
    const by = zoom / this.zoom;
    this.shift = [x - (x - this.shift[0]) * by, y - (y - this.shift[1]) * by];
    this.zoom = zoom;
    this.canvas.classList.toggle("zoomed", zoom > 1);
    this.onZoom?.(zoom > 1);
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
    this.layout = new Layout(this.points, width, height);
    this.hold();
    this.draw();
  }

  /** The point under a place of the canvas, if one is near enough; muted ones are not there. */
  private under(x: number, y: number): number | null {
    const [u, v] = [(x - this.shift[0]) / this.zoom, (y - this.shift[1]) / this.zoom];
    return this.layout.nearest(u, v, (REACH + this.radius) / this.zoom, this.style.muted);
  }

  private get radius(): number {
    const usual = this.points.x.length > 2000 ? 2.4 : this.points.x.length > 400 ? 3.4 : 4.6;
    return Math.min(8, usual * this.zoom ** 0.35);
  }

  readonly draw = inNextFrame(() => this.drawNow());

  private drawNow(): void {
    const by = this.canvas.width / this.size[0];
    const { order, style, marked, near, radius, size, lasso } = this;
    const place = (point: number): [number, number] => this.positionOf(point);
    const count = this.thumbnails ? this.countVisible() : 0;
    const thumbnails = count <= MAX_THUMBNAILS ? this.thumbnails : null;
    const side = Math.min(SIDES_PX[1], Math.max(SIDES_PX[0], Math.sqrt((COVERED * size[0] * size[1]) / Math.max(1, count))));
    this.canvas.dataset.thumbnails = String(thumbnails ? count : 0);
    drawPoints(this.canvas, { order, place, style, radius, size, by, marked, near, thumbnails, side, lasso });
  }

  /** The number of points on the canvas that are not muted. */
  private countVisible(): number {
    const [width, height] = this.size;
    return this.order.filter((i) => {
      const [x, y] = this.positionOf(i);
      return !this.style.muted[i] && x >= 0 && y >= 0 && x <= width && y <= height;
    }).length;
  }

  /** Select what the lasso surrounds. */
  private closeLasso(): void {
    const path = this.lasso;
    this.lasso = [];
    this.draw();
    const inside = [...this.points.x.keys()].filter((i) => insidePolygon(path, ...this.positionOf(i)));
    if (inside.length) this.onLasso?.(inside);
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
      this.lasso = (this.lassoOn || event.shiftKey) && this.fingers.size === 1 ? [where(event)] : [];
    });
    canvas.addEventListener("pointermove", (event) => {
      const to = where(event);
      const from = this.fingers.get(event.pointerId);
      if (!from) {
        const point = this.under(...to);
        canvas.classList.toggle("over", point !== null);
        if (point !== null && point !== this.marked) this.onMark?.(point);
        return;
      }
      this.moved += Math.hypot(to[0] - from[0], to[1] - from[1]);
      const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
      this.fingers.set(event.pointerId, to);
      if (other) {
        const [before, after] = [from, to].map((at) => Math.hypot(at[0] - other[0], at[1] - other[1])) as [number, number];
        this.scale(after / (before || 1), (to[0] + other[0]) / 2, (to[1] + other[1]) / 2);
      } else if (this.lasso.length) {
        this.lasso.push(to);
        this.draw();
      } else this.pan(to[0] - from[0], to[1] - from[1]);
    });
    const lift = (event: PointerEvent): void => {
      const known = this.fingers.delete(event.pointerId);
      if (!known || event.type !== "pointerup" || this.moved > 5) {
        if (known && event.type === "pointerup" && this.lasso.length > 2) this.closeLasso();
        else this.lasso = [];
        return;
      }
      this.lasso = [];
      const point = this.under(...where(event));
      if (point !== null) this.onPick?.(point, event.pointerType !== "mouse");
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
      const point = this.layout.towards(this.marked, way, this.style.muted);
      if (point !== null) {
        this.onMark?.(point);
        this.reveal(point);
      }
    } else if (event.key === "+" || event.key === "=") this.scale(1.5);
    else if (event.key === "-") this.scale(1 / 1.5);
    else if (event.key === "0") this.reset();
    else if (event.key === " " && this.marked !== null) this.onToggle?.(this.marked);
    else if (event.key === "Enter" && this.marked !== null) this.onPick?.(this.marked, false);
    else return;
    event.preventDefault();
  }
}

interface Props {
  label: string;
  plotRef: Ref<ScatterPlot>;
}

/** The canvas with its buttons; the plot is set and listened to by its parent. */
export function ScatterCanvas({ label, plotRef }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const plot = useRef<ScatterPlot | null>(null);
  const id = useId();
  useImperativeHandle(plotRef, () => (plot.current ??= new ScatterPlot(canvas.current!)), []);
  useLayoutEffect(() => () => plot.current?.close(), []);
  const [lasso, setLasso] = useState(false);
  useLayoutEffect(() => {
    plot.current!.lassoOn = lasso;
  }, [lasso]);
  const button = (sign: string, name: string, run: () => void) => (
    <button aria-label={name} title={name} onClick={run}>
      {sign}
    </button>
  );
  return (
    <div class="plane">
      <canvas ref={canvas} data-lasso={lasso || undefined} tabIndex={0} role="application" aria-label={label} aria-describedby={id} />
      <div class="zooms">
        {button("+", "Zoom in", () => plot.current!.scale(1.5))}
        {button("−", "Zoom out", () => plot.current!.scale(1 / 1.5))}
        {button("⤢", "Show all points", () => plot.current!.reset())}
        <button aria-label="Select with a lasso" title="Select with a lasso (or drag with Shift)" aria-pressed={lasso} onClick={() => setLasso(!lasso)}>
          <svg viewBox="0 0 20 20" width={18} height={18} aria-hidden="true">
            <path d="M6 13C1 11 2 4 10 4s9 7 3 9c-3 1-5 0-6 1s-1 3-3 3" fill="none" stroke="currentColor" stroke-width="1.6" />
          </svg>
        </button>
      </div>
      <p class="note" id={id}>
        Drag with Shift, or with the lasso, to select points. Arrow keys move to the nearest point in that direction, Enter explains
        it, Space adds it to the selection; + and − zoom, Shift + arrow keys pan, 0 shows all.
      </p>
    </div>
  );
}
