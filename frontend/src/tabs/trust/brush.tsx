// Painting a mask over an image: with a pointer, a finger or a pen; with the keyboard by a box.

import { effect, type Signal, signal } from "@preact/signals";
import { useId, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { inNextFrame } from "../../shared/debounce";
import { type Box, Mask } from "./mask";
import { drawn, outlined } from "./mask_drawing";

/** Cells of the mask along its longer side. */
const CELLS = 128;
const SIDE_PX = 640;

const scaled = (length: number, longest: number, most: number): number => Math.max(1, Math.round((length / longest) * most));

/** What is painted. `version` changes with the mask, `box` is that of the keyboard: its middle and side, in fractions. */
export class Brush {
  readonly mask: Mask;
  readonly version = signal(0);
  /** The radius of the brush, as a fraction of the longer side. */
  readonly size = signal(0.06);
  readonly erasing = signal(false);
  readonly box: Signal<{ x: number; y: number; side: number }> = signal({ x: 0.5, y: 0.5, side: 0.3 });
  readonly boxShown = signal(false);
  readonly pointer: Signal<[number, number] | null> = signal(null);
  private last: [number, number] | null = null;

  constructor(
    public image: HTMLImageElement,
    /** The part of the image that the network sees. */
    public region: Box,
  ) {
    const { naturalWidth: width, naturalHeight: height } = image;
    const longest = Math.max(width, height);
    this.mask = new Mask(scaled(width, longest, CELLS), scaled(height, longest, CELLS));
  }

  /** Whether a stroke is being painted. */
  get painting(): boolean {
    return this.last !== null;
  }

  private changed(): void {
    this.version.value += 1;
  }

  cover(cells: Uint8Array): void {
    this.mask.keep();
    this.mask.marked.set(cells);
    this.changed();
  }

  clear(): void {
    if (this.mask.share > 0) this.cover(new Uint8Array(this.mask.marked.length));
  }

  undo(): void {
    if (!this.mask.canUndo) return;
    this.mask.undo();
    this.changed();
  }

  /** Occlude, or restore, what is in the box of the keyboard. */
  fillBox(value: 0 | 1): void {
    this.mask.keep();
    this.mask.box(this.edges(), value);
    this.changed();
  }

  showBox(on: boolean): void {
    this.boxShown.value = on;
  }

  /** The box, as wide as high on the image. */
  edges(): Box {
    const { width, height } = this.mask;
    const { x, y, side } = this.box.peek();
    const shorter = Math.min(width, height);
    const [w, h] = [(side * shorter) / width / 2, (side * shorter) / height / 2];
    return [x - w, y - h, x + w, y + h];
  }

  begin(at: [number, number], event: PointerEvent): void {
    this.showBox(false);
    this.mask.keep();
    this.last = at;
    this.stroke(at, event);
  }

  move(at: [number, number], event: PointerEvent): void {
    this.pointer.value = at;
    if (this.last) this.stroke(at, event);
  }

  end(): void {
    if (!this.last) return;
    this.last = null;
    this.changed();
  }

  /** Discs from the last position to this one; a pen that is pressed harder paints wider. */
  private stroke(to: [number, number], event: PointerEvent): void {
    const { width, height } = this.mask;
    const pressed = event.pointerType === "pen" && event.pressure > 0 ? 0.5 + event.pressure : 1;
    const radius = Math.max(0.6, this.size.peek() * pressed * Math.max(width, height));
    const from = this.last ?? to;
    const far = Math.hypot((to[0] - from[0]) * width, (to[1] - from[1]) * height);
    const steps = Math.max(1, Math.ceil(far / Math.max(0.5, radius / 3)));
    for (let step = 0; step <= steps; step++) {
      const [x, y] = [0, 1].map((i) => from[i]! + ((to[i]! - from[i]!) * step) / steps) as [number, number];
      this.mask.disc(x, y, radius, this.erasing.peek() ? 0 : 1);
    }
    this.last = to;
    this.changed();
  }

  /** Returns whether the key means something here. */
  key(event: KeyboardEvent): boolean {
    const far = event.shiftKey ? 0.15 : 0.03;
    const moves: Record<string, [dx: number, dy: number, grow: number]> = {
      ArrowLeft: [-far, 0, 0],
      ArrowRight: [far, 0, 0],
      ArrowUp: [0, -far, 0],
      ArrowDown: [0, far, 0],
      "+": [0, 0, 0.05],
      "=": [0, 0, 0.05],
      "-": [0, 0, -0.05],
    };
    const fills: Record<string, 0 | 1> = { Enter: 1, " ": 1, Delete: 0, Backspace: 0 };
    const control = event.ctrlKey || event.metaKey;
    const move = moves[event.key];
    const fill = fills[event.key];
    if (control && event.key === "z") this.undo();
    else if (control || event.altKey) return false;
    else if (move) {
      const { x, y, side } = this.box.peek();
      const inside = (value: number, low: number): number => Math.min(1, Math.max(low, value));
      this.box.value = { x: inside(x + move[0], 0), y: inside(y + move[1], 0), side: inside(side + move[2], 0.05) };
    } else if (fill !== undefined) this.fillBox(fill);
    else return false;
    this.showBox(true);
    return true;
  }
}

/** The brushes of the last images, by id: what is painted stays when another tab or image is displayed. */
const brushes = new Map<string, Brush>();
const MAX_BRUSHES = 8;

/** The brush of an image. */
export function useBrush(id: string, image: HTMLImageElement, region: Box): Brush {
  const brush = useMemo(() => {
    const known = brushes.get(id) ?? new Brush(image, region);
    brushes.delete(id);
    brushes.set(id, known);
    if (brushes.size > MAX_BRUSHES) brushes.delete(brushes.keys().next().value as string);
    known.end(); // the pointer may have been lifted elsewhere
    known.pointer.value = null;
    return known;
  }, [id]);
  brush.image = image;
  brush.region = region;
  return brush;
}

export function BrushCanvas({ brush }: { brush: Brush }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const id = useId();
  const { naturalWidth, naturalHeight } = brush.image;
  const longest = Math.max(naturalWidth, naturalHeight);
  const latest = useRef(brush);
  latest.current = brush;
  const drawSoon = useMemo(() => inNextFrame(() => canvas.current && draw(canvas.current, latest.current)), []);
  useLayoutEffect(drawSoon, [brush]);
  useLayoutEffect(
    () =>
      effect(() => {
        const { version, box, boxShown, pointer, size } = brush;
        void [version.value, box.value, boxShown.value, pointer.value, size.value];
        drawSoon();
      }),
    [brush],
  );
  const at = (event: PointerEvent): [number, number] => {
    const box = canvas.current!.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    event.preventDefault();
    canvas.current!.focus({ preventScroll: true });
    canvas.current!.setPointerCapture(event.pointerId);
    brush.begin(at(event), event);
  };
  const move = (event: PointerEvent): void => {
    const passed = brush.painting ? event.getCoalescedEvents?.() : [];
    for (const one of passed?.length ? passed : [event]) brush.move(at(one), one);
  };
  const { x, y, side } = brush.box.value;
  const percent = (value: number): string => `${Math.round(100 * value)} %`;
  return (
    <div class="brush">
      <div class="frame">
        <canvas
          ref={canvas}
          role="application"
          tabIndex={0}
          width={scaled(naturalWidth, longest, SIDE_PX)}
          height={scaled(naturalHeight, longest, SIDE_PX)}
          aria-label="The image, for painting a mask"
          aria-describedby={id}
          onPointerDown={down}
          onPointerMove={move}
          onPointerUp={() => brush.end()}
          onPointerCancel={() => brush.end()}
          onPointerLeave={() => void (brush.pointer.value = null)}
          onKeyDown={(event) => brush.key(event) && event.preventDefault()}
          onFocus={() => brush.showBox(canvas.current!.matches(":focus-visible"))}
          onBlur={() => brush.showBox(false)}
        />
      </div>
      <output class="reading-box">
        {brush.boxShown.value && `Box at ${percent(x)} from the left, ${percent(y)} from the top, ${percent(side)} wide`}
      </output>
      <p class="note" id={id}>
        Paint with the pointer. Keyboard: arrow keys move a box (with Shift: faster), + and − change its size, Enter occludes it,
        Delete restores it, Ctrl + Z undoes the last step.
      </p>
    </div>
  );
}

function draw(canvas: HTMLCanvasElement, brush: Brush): void {
  const { width, height } = canvas;
  const context = canvas.getContext("2d")!;
  drawn(context, brush.image, brush.mask, brush.region);
  const line = Math.max(1.5, width / 320);
  const pointer = brush.pointer.peek();
  if (brush.boxShown.peek()) {
    const [left, top, right, bottom] = brush.edges();
    outlined(context, line, () => context.rect(left * width, top * height, (right - left) * width, (bottom - top) * height));
  } else if (pointer) {
    const [x, y] = pointer;
    const radius = brush.size.peek() * Math.max(width, height);
    outlined(context, line, () => context.arc(x * width, y * height, radius, 0, 2 * Math.PI));
  }
}
