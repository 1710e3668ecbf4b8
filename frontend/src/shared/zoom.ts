// Which part of an image or a plane is displayed, and the gestures that change it: keys, wheel, double click, two fingers,
// dragging.

import { signal } from "@preact/signals";
import { type RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

/** The image is enlarged `k` times, and displayed from (x, y) on, in fractions of its sides. */
export interface Window {
  k: number;
  x: number;
  y: number;
}

export const WHOLE: Window = { k: 1, x: 0, y: 0 };
export const STEP = 1.5;
const HINT_MS = 1600;

const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

export class Zoom {
  readonly window = signal(WHOLE);
  /** Whether the wheel was turned without Ctrl: how to zoom is then displayed. */
  readonly hint = signal(false);
  private timer = 0;

  /** `places` behind the point of what stands in the address, so that a link restores exactly the same part. */
  constructor(
    private readonly most = 16,
    private readonly places = 4,
  ) {}

  /** Display this part of the image, as far as it exists. */
  set({ k, x, y }: Window): void {
    const rounded = (number: number): number => Number(number.toFixed(this.places));
    const size = rounded(clamp(k, 1, this.most));
    const next = { k: size, x: rounded(clamp(x, 0, 1 - 1 / size)), y: rounded(clamp(y, 0, 1 - 1 / size)) };
    const now = this.window.peek();
    if (next.k !== now.k || next.x !== now.x || next.y !== now.y) this.window.value = next;
  }

  reset(): void {
    this.set(WHOLE);
  }

  /** Zoom in or out; what is at these fractions of the frame stays there. */
  by(factor: number, atX = 0.5, atY = 0.5): void {
    const { k, x, y } = this.window.peek();
    const next = clamp(k * factor, 1, this.most);
    this.set({ k: next, x: x + atX / k - atX / next, y: y + atY / k - atY / next });
  }

  pan(dx: number, dy: number): void {
    const { k, x, y } = this.window.peek();
    this.set({ k, x: x + dx / k, y: y + dy / k });
  }

  showHint(): void {
    this.hint.value = true;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => (this.hint.value = false), HINT_MS);
  }
}

/** Let the gestures on a canvas in a frame change the zoom, while the component is there. */
export function useZoomGestures(zoom: Zoom | undefined, canvas: RefObject<HTMLCanvasElement | null>): void {
  useLayoutEffect(() => (zoom ? followGestures(zoom, canvas.current!) : undefined), [zoom]);
}

type At = readonly [x: number, y: number];

/** What pointers do on an element, at fractions of its sides. */
interface PointerActions {
  down?(at: At, event: PointerEvent, fingers: number): void;
  /** Without a button. */
  hover?(at: At): void;
  drag(from: At, to: At): void;
  pinch(factor: number, middle: At): void;
  up?(at: At, event: PointerEvent): void;
}

export function fractionsOf(element: Element, event: MouseEvent): [number, number] {
  const box = element.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

/** Follow the pointers on a canvas: one drags, two pinch. */
export function followPointers(canvas: HTMLCanvasElement, frame: Element, signal: AbortSignal, on: PointerActions): void {
  const fingers = new Map<number, At>();
  const move = (event: PointerEvent): void => {
    const before = fingers.get(event.pointerId);
    const now = fractionsOf(frame, event);
    if (!before) return on.hover?.(now);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other && fingers.size === 2) {
      const distance = (p: At): number => Math.hypot(p[0] - other[0], p[1] - other[1]);
      on.pinch(distance(now) / Math.max(distance(before), 0.01), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    } else on.drag(before, now);
    fingers.set(event.pointerId, now);
  };
  const up = (event: PointerEvent): void => {
    if (fingers.delete(event.pointerId)) on.up?.(fractionsOf(frame, event), event);
  };
  const down = (event: PointerEvent): void => {
    const at = fractionsOf(frame, event);
    fingers.set(event.pointerId, at);
    on.down?.(at, event, fingers.size);
  };
  canvas.addEventListener("pointerdown", down, { signal });
  canvas.addEventListener("pointermove", move, { signal });
  canvas.addEventListener("pointerup", up, { signal });
  canvas.addEventListener("pointercancel", up, { signal });
}

/** Zoom by + and −, pan by Shift + arrow keys, 0 for the whole; returns whether the key means something. */
export function zoomByKey(zoom: Zoom, { key, shiftKey }: KeyboardEvent): boolean {
  const pan = shiftKey && { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[key];
  if (key === "+" || key === "=") zoom.by(STEP);
  else if (key === "-") zoom.by(1 / STEP);
  else if (key === "0") zoom.reset();
  else if (pan) zoom.pan(pan[0]!, pan[1]!);
  else return false;
  return true;
}

export function followGestures(zoom: Zoom, canvas: HTMLCanvasElement): () => void {
  const frame = canvas.parentElement!;
  const stop = new AbortController();
  const { signal } = stop;
  const wheel = (event: WheelEvent): void => {
    if (!event.ctrlKey && !event.metaKey) return zoom.showHint(); // the page scrolls
    event.preventDefault();
    zoom.by(Math.exp(-clamp(event.deltaY, -60, 60) / 100), ...fractionsOf(frame, event));
  };
  const doubleClick = (event: MouseEvent): void => {
    event.preventDefault();
    if (zoom.window.peek().k > 1) zoom.reset();
    else zoom.by(STEP * STEP, ...fractionsOf(frame, event));
  };
  const keydown = (event: KeyboardEvent): void => {
    if (!event.ctrlKey && !event.altKey && !event.metaKey && zoomByKey(zoom, event)) event.preventDefault();
  };
  followPointers(canvas, frame, signal, {
    down: (_, { pointerId }, fingers) => {
      if (zoom.window.peek().k > 1 || fingers > 1) canvas.setPointerCapture(pointerId);
    },
    drag: (from, to) => zoom.pan(from[0] - to[0], from[1] - to[1]),
    pinch: (factor, middle) => zoom.by(factor, ...middle),
  });
  frame.addEventListener("wheel", wheel, { passive: false, signal });
  canvas.addEventListener("dblclick", doubleClick, { signal });
  canvas.addEventListener("keydown", keydown, { signal });
  return () => stop.abort();
}

/** A part of the image as text, and back; the whole image is "". */
export const windowText = ({ k, x, y }: Window): string => (k === 1 ? "" : [k, x, y].join(","));

export function windowOf(text = ""): Window {
  const [k, x, y] = text.split(",").map(Number);
  return k && Number.isFinite(k) ? { k, x: x || 0, y: y || 0 } : WHOLE;
}
