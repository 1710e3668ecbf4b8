// Points on a canvas: zoom and pan by pointer, fingers, wheel and keys; selection with a lasso.

import { type Ref } from "preact";
import { useId, useImperativeHandle, useLayoutEffect, useRef, useState } from "preact/hooks";
import { inNextFrame } from "../../shared/debounce";
import { followPointers, fractionsOf, STEP, Zoom, zoomByKey } from "../../shared/zoom";
import { type Coordinates, EDGE, insidePolygon, Layout } from "./layout";
import { drawingOrder, drawPoints, type PointStyle, type ThumbnailSheet } from "./points";

const MAX_ZOOM = 60;
const REACH_PX = 12;
/** A pointer that moved less than this has clicked. */
const CLICK_PX = 5;
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
  private readonly zoom = new Zoom(MAX_ZOOM, 6);
  private size: [number, number] = [1, 1];
  private marked: number | null = null;
  private near: readonly number[] = [];
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
    const unzoom = this.zoom.window.subscribe(({ k }) => {
      canvas.classList.toggle("zoomed", k > 1);
      this.onZoom?.(k > 1);
      this.draw();
    });
    signal.addEventListener("abort", () => {
      unzoom();
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
    const [u, v] = this.layout.of(point);
    const { k, x, y } = this.zoom.window.peek();
    return [k * (u - x * this.size[0]), k * (v - y * this.size[1])];
  }

  /** Bring a point into sight. */
  reveal(point: number): void {
    const [x, y] = this.positionOf(point);
    const [width, height] = this.size;
    if (x >= EDGE && y >= EDGE && x <= width - EDGE && y <= height - EDGE) return;
    this.zoom.pan(x / width - 0.5, y / height - 0.5);
  }

  reset(): void {
    this.zoom.reset();
    this.draw();
  }

  /** Zoom about the middle. */
  scale(factor: number): void {
    this.zoom.by(factor);
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
    this.draw();
  }

  /** The point at fractions of the canvas, if one is near enough; muted ones are not there. */
  private under([atX, atY]: readonly [number, number]): number | null {
    const { k, x, y } = this.zoom.window.peek();
    const [u, v] = [(x + atX / k) * this.size[0], (y + atY / k) * this.size[1]];
    return this.layout.nearest(u, v, (REACH_PX + this.radius) / k, this.style.muted);
  }

  private get radius(): number {
    const usual = this.points.x.length > 2000 ? 2.4 : this.points.x.length > 400 ? 3.4 : 4.6;
    return Math.min(8, usual * this.zoom.window.peek().k ** 0.35);
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
    const { canvas, zoom } = this;
    const { signal } = this.stop;
    const pixels = ([x, y]: readonly [number, number]): [number, number] => [x * this.size[0], y * this.size[1]];
    followPointers(canvas, canvas, signal, {
      down: (at, event, fingers) => {
        if (fingers === 1) this.moved = 0;
        canvas.setPointerCapture(event.pointerId);
        this.lasso = (this.lassoOn || event.shiftKey) && fingers === 1 ? [pixels(at)] : [];
      },
      hover: (at) => {
        const point = this.under(at);
        canvas.classList.toggle("over", point !== null);
        if (point !== null && point !== this.marked) this.onMark?.(point);
      },
      drag: (from, to) => {
        this.moved += Math.hypot(...pixels([to[0] - from[0], to[1] - from[1]]));
        if (this.lasso.length) {
          this.lasso.push(pixels(to));
          this.draw();
        } else zoom.pan(from[0] - to[0], from[1] - to[1]);
      },
      pinch: (factor, middle) => {
        this.moved = Infinity;
        zoom.by(factor, ...middle);
      },
      up: (at, event) => {
        const lifted = event.type === "pointerup";
        const point = lifted && this.moved <= CLICK_PX ? this.under(at) : null;
        if (lifted && this.moved > CLICK_PX && this.lasso.length > 2) this.closeLasso();
        this.lasso = [];
        if (point !== null) this.onPick?.(point, event.pointerType !== "mouse");
      },
    });
    const wheel = (event: WheelEvent): void => {
      event.preventDefault();
      zoom.by(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...fractionsOf(canvas, event));
    };
    canvas.addEventListener("wheel", wheel, { passive: false, signal });
    canvas.addEventListener("keydown", (event) => this.key(event), { signal });
  }

  private key(event: KeyboardEvent): void {
    const arrows: Record<string, [number, number]> = {
      ArrowRight: [1, 0],
      ArrowLeft: [-1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const way = event.shiftKey ? undefined : arrows[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (way) {
      const point = this.layout.towards(this.marked, way, this.style.muted);
      if (point !== null) {
        this.onMark?.(point);
        this.reveal(point);
      }
    } else if (event.key === " " && this.marked !== null) this.onToggle?.(this.marked);
    else if (event.key === "Enter" && this.marked !== null) this.onPick?.(this.marked, false);
    else if (!zoomByKey(this.zoom, event)) return;
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
        {button("+", "Zoom in", () => plot.current!.scale(STEP))}
        {button("−", "Zoom out", () => plot.current!.scale(1 / STEP))}
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
