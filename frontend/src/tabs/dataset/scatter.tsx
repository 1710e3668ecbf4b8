// Points on a canvas: zoom and pan by pointer, fingers, wheel and keys; selection with a lasso. Dots or thumbnails, crosses
// for wrong predictions, rings around marked points.

import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { inNextFrame } from "../../shared/debounce";
import { followPointers, fractionsOf, STEP, Zoom, zoomByKey } from "../../shared/zoom";
import { type Coordinates, cross, dot, drawingOrder, EDGE, Layout, type PointStyle, stroke } from "./points";

const MAX_ZOOM = 60;
const REACH_PX = 12;
/** A pointer that moved less than this has clicked. */
const CLICK_PX = 5;
/** Points that are drawn as thumbnails at most; more would cover each other. */
export const MAX_THUMBNAILS = 500;
/** The sides of the smallest and of the largest thumbnail, in CSS pixels, and the part of the canvas that they cover. */
const SIDES_PX = [16, 40] as const;
const COVERED = 0.35;
/** The side of a thumbnail of the server. */
const TILE_PX = 32;
const ARROWS: Record<string, [number, number]> = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

interface Props {
  label: string;
  points: Coordinates;
  style: PointStyle;
  /** All thumbnails in one image, row by row; drawn instead of dots where there is space for them. */
  thumbnails: ImageBitmap | null;
  /** A point with a ring, and its neighbours with small ones. */
  marked: number | null;
  near: readonly number[];
  /** The point that the pointer or the keyboard has come to. */
  onMark: (point: number) => void;
  /** A point that was clicked, or selected with Enter; `touched`: by a finger, which cannot hover first. */
  onPick: (point: number, touched: boolean) => void;
  onLasso: (points: number[]) => void;
  /** A point to be added to the selection, or removed from it, by the keyboard. */
  onToggle: (point: number) => void;
  onZoom: () => void;
}

/** The points on a canvas, as they were given last. */
class ScatterPlot {
  readonly zoom = new Zoom(MAX_ZOOM, 6);
  /** Whether dragging draws a lasso instead of moving the points; with Shift it always does. */
  lassoOn = false;
  private layout = new Layout({ x: [], y: [] }, 1, 1);
  private order: readonly number[] = [];
  private size: [number, number] = [1, 1];
  /** The path of the lasso that is being drawn. */
  private lasso: [number, number][] = [];
  private moved = 0;
  /** The point under the pointer: where it is, the points do not move. */
  private pointed: number | null = null;
  private readonly stop = new AbortController();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private props: Props,
  ) {
    const { signal } = this.stop;
    this.listen(signal);
    this.order = drawingOrder(props.style);
    const resizes = new ResizeObserver(() => this.fit());
    resizes.observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.draw, { signal });
    const themes = new MutationObserver(this.draw);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const unzoom = this.zoom.window.subscribe(({ k }) => {
      canvas.classList.toggle("zoomed", k > 1);
      if (k > 1) this.props.onZoom();
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

  update(props: Props): void {
    const { points, style, marked } = this.props;
    this.props = props;
    if (props.style !== style) this.order = drawingOrder(props.style);
    if (props.points !== points) {
      this.zoom.reset();
      this.fit();
    }
    if (props.marked !== marked) {
      const point = props.marked;
      if (point !== null && point !== this.pointed && !this.isWithin(point, -EDGE)) {
        const [x, y] = this.positionOf(point);
        this.zoom.pan(x / this.size[0] - 0.5, y / this.size[1] - 0.5);
      }
      this.pointed = null;
    }
    this.draw();
  }

  /** Where a point is on the canvas, in CSS pixels. */
  private positionOf(point: number): [number, number] {
    const [u, v] = this.layout.of(point);
    const { k, x, y } = this.zoom.window.peek();
    return [k * (u - x * this.size[0]), k * (v - y * this.size[1])];
  }

  /** Whether a point is on the canvas with so many pixels around it. */
  private isWithin(point: number, margin: number): boolean {
    const [x, y] = this.positionOf(point);
    return x >= -margin && y >= -margin && x <= this.size[0] + margin && y <= this.size[1] + margin;
  }

  /** To the canvas's size. */
  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const by = Math.min(3, devicePixelRatio || 1);
    this.size = [width, height];
    Object.assign(this.canvas, { width: Math.round(width * by), height: Math.round(height * by) });
    this.layout = new Layout(this.props.points, width, height);
    this.draw();
  }

  /** The point at fractions of the canvas, if one is near enough. */
  private under([atX, atY]: readonly [number, number]): number | null {
    const { k, x, y } = this.zoom.window.peek();
    const [u, v] = [(x + atX / k) * this.size[0], (y + atY / k) * this.size[1]];
    return this.layout.nearest(u, v, (REACH_PX + this.radius) / k, this.props.style.muted);
  }

  private get radius(): number {
    const { length } = this.props.points.x;
    return Math.min(8, (length > 2000 ? 2.4 : length > 400 ? 3.4 : 4.6) * this.zoom.window.peek().k ** 0.35);
  }

  readonly draw = inNextFrame(() => {
    const { canvas, order, size, lasso, radius: r } = this;
    const { style, marked, near } = this.props;
    const { colours, crossed, muted } = style;
    const visible = this.props.thumbnails ? order.filter((i) => !muted[i] && this.isWithin(i, 0)).length : 0;
    const thumbnails = visible <= MAX_THUMBNAILS ? this.props.thumbnails : null;
    const side = Math.min(SIDES_PX[1], Math.max(SIDES_PX[0], Math.sqrt((COVERED * size[0] * size[1]) / Math.max(1, visible))));
    canvas.dataset.thumbnails = String(thumbnails ? visible : 0);

    const sheet = getComputedStyle(canvas);
    const named = ["--ink", "--paper", "--soft", "--first", "--second"].map((name) => [name, sheet.getPropertyValue(name).trim()]);
    const known = Object.fromEntries(named) as Record<string, string>;
    const [ink, paper, soft] = [known["--ink"]!, known["--paper"]!, known["--soft"]!];
    const colourOf = (i: number): string => known[colours[i]!] ?? colours[i]!;
    const context = canvas.getContext("2d")!;
    const by = canvas.width / size[0];
    context.setTransform(by, 0, 0, by, 0, 0);
    context.clearRect(0, 0, ...size);
    context.lineJoin = context.lineCap = "round";
    const thumbnail = (i: number, x: number, y: number): void => {
      const columns = thumbnails!.width / TILE_PX;
      const [left, top] = [(i % columns) * TILE_PX, Math.floor(i / columns) * TILE_PX];
      context.fillStyle = colourOf(i);
      context.fillRect(x - side / 2 - 2, y - side / 2 - 2, side + 4, side + 4);
      context.drawImage(thumbnails!, left, top, TILE_PX, TILE_PX, x - side / 2, y - side / 2, side, side);
      if (crossed[i]) cross(context, x + side / 2 - 2, y - side / 2 + 2, 4, colourOf(i), ink);
    };
    const ring = (i: number, gap: number, width: number): void => {
      const around = thumbnails && !muted[i] ? (side / 2) * Math.SQRT2 : r; // the corners, too
      context.beginPath();
      context.arc(...this.positionOf(i), around + gap, 0, 7);
      stroke(context, paper, width + 2);
      stroke(context, ink, width);
    };
    for (const i of order) {
      if (!this.isWithin(i, Math.max(r, thumbnails ? side / 2 : 0))) continue;
      const [x, y] = this.positionOf(i);
      context.globalAlpha = muted[i] ? 0.16 : 1;
      if (thumbnails && !muted[i]) thumbnail(i, x, y);
      else (crossed[i] ? cross : dot)(context, x, y, r, muted[i] ? soft : colourOf(i), muted[i] ? null : ink);
    }
    context.globalAlpha = 1;
    for (const i of near) ring(i, 3, 1.4);
    if (marked !== null) {
      if (thumbnails && !muted[marked]) thumbnail(marked, ...this.positionOf(marked)); // above the others
      ring(marked, 5, 2.4);
    }
    if (lasso.length < 2) return;
    context.beginPath();
    for (const at of lasso) context.lineTo(...at);
    context.closePath();
    stroke(context, paper, 4);
    stroke(context, ink, 1.6);
  });

  /** Select what the lasso surrounds; by the even-odd rule, so one that crosses itself has holes. */
  private closeLasso(): void {
    const path = new Path2D();
    for (const at of this.lasso) path.lineTo(...at);
    this.lasso = [];
    this.draw();
    const context = new OffscreenCanvas(1, 1).getContext("2d")!;
    const inside = [...this.props.points.x.keys()].filter((i) => context.isPointInPath(path, ...this.positionOf(i), "evenodd"));
    if (inside.length) this.props.onLasso(inside);
  }

  private listen(signal: AbortSignal): void {
    const { canvas, zoom } = this;
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
        if (point === null || point === this.props.marked) return;
        this.pointed = point;
        this.props.onMark(point);
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
        if (point === null) return;
        this.pointed = point;
        this.props.onPick(point, event.pointerType !== "mouse");
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
    const { marked, style, onMark, onToggle, onPick } = this.props;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = event.shiftKey ? undefined : ARROWS[event.key];
    if (way) {
      const point = this.layout.towards(marked, way, style.muted);
      if (point !== null) onMark(point);
    } else if (event.key === " " && marked !== null) onToggle(marked);
    else if (event.key === "Enter" && marked !== null) onPick(marked, false);
    else if (!zoomByKey(this.zoom, event)) return;
    event.preventDefault();
  }
}

/** The canvas with its buttons. */
export function Scatter(props: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const plot = useRef<ScatterPlot | null>(null);
  const id = useId();
  const [lasso, setLasso] = useState(false);
  useLayoutEffect(() => {
    const made = (plot.current = new ScatterPlot(canvas.current!, props));
    return () => made.close();
  }, []);
  useLayoutEffect(() => {
    plot.current!.lassoOn = lasso;
    plot.current!.update(props);
  });
  const button = (sign: string, name: string, run: (zoom: Zoom) => void) => (
    <button aria-label={name} title={name} onClick={() => run(plot.current!.zoom)}>{sign}</button>
  );
  return (
    <div class="plane">
      <canvas ref={canvas} data-lasso={lasso || undefined} tabIndex={0} role="application" aria-label={props.label} aria-describedby={id} />
      <div class="zooms">
        {button("+", "Zoom in", (zoom) => zoom.by(STEP))}
        {button("−", "Zoom out", (zoom) => zoom.by(1 / STEP))}
        {button("⤢", "Show all points", (zoom) => zoom.reset())}
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
