// Painting a mask over an image: with a pointer, a finger or a pen; with the keyboard by a box.

import { type Signal, signal } from "@preact/signals";
import { useId, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { drawPhoto } from "../../shared/photo";
import { fractionsOf } from "../../shared/zoom";
import { type Box, Mask } from "./mask";

/** Cells of the mask along its longer side. */
const CELLS = 128;
const SIDE_PX = 640;

/** The size of an image, if its longer side is `longest`. */
function sizeWithin({ naturalWidth: width, naturalHeight: height }: HTMLImageElement, longest: number): [number, number] {
  const factor = longest / Math.max(width, height);
  return [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
}

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

  /** `region`: the part of the image that the network sees. */
  constructor(
    public image: HTMLImageElement,
    public region: Box,
  ) {
    this.mask = new Mask(...sizeWithin(image, CELLS));
  }

  /** Whether a stroke is being painted. */
  get painting(): boolean {
    return this.last !== null;
  }

  /** Change the mask in a step that can be undone. */
  private step(change: (mask: Mask) => void): void {
    this.mask.keep();
    change(this.mask);
    this.version.value += 1;
  }

  cover(cells: Uint8Array): void {
    this.step((mask) => mask.marked.set(cells));
  }

  /** Occlude, or restore, what is in the box of the keyboard. */
  fillBox(value: 0 | 1): void {
    this.step((mask) => mask.box(this.edges(), value));
  }

  undo(): void {
    this.mask.undo();
    this.version.value += 1;
  }

  showBox(on: boolean): void {
    this.boxShown.value = on;
  }

  /** The box, as wide as high on the image. */
  edges(): Box {
    const { width, height } = this.mask;
    const { x, y, side } = this.box.peek();
    const half = (side * Math.min(width, height)) / 2;
    return [x - half / width, y - half / height, x + half / width, y + half / height];
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
    this.version.value += 1;
  }

  /** Discs from the last position to this one; a pen that is pressed harder paints wider. */
  private stroke(to: [number, number], event: PointerEvent): void {
    const { width, height } = this.mask;
    const pressed = event.pointerType === "pen" && event.pressure > 0 ? 0.5 + event.pressure : 1;
    const radius = Math.max(0.6, this.size.peek() * pressed * Math.max(width, height));
    const from = this.last ?? to;
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const steps = Math.max(1, Math.ceil(Math.hypot(dx * width, dy * height) / Math.max(0.5, radius / 3)));
    for (let step = 0; step <= steps; step++)
      this.mask.disc(from[0] + (dx * step) / steps, from[1] + (dy * step) / steps, radius, this.erasing.peek() ? 0 : 1);
    this.last = to;
    this.version.value += 1;
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
  return useMemo(() => {
    const brush = brushes.get(id) ?? new Brush(image, region);
    brushes.delete(id);
    brushes.set(id, brush);
    if (brushes.size > MAX_BRUSHES) brushes.delete(brushes.keys().next().value!);
    brush.end(); // the pointer may have been lifted elsewhere
    brush.pointer.value = null;
    return Object.assign(brush, { image, region });
  }, [id]);
}

export function BrushCanvas({ brush }: { brush: Brush }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const id = useId();
  const [width, height] = sizeWithin(brush.image, SIDE_PX);
  const { version, box, boxShown, pointer, size } = brush;
  useLayoutEffect(() => draw(canvas.current!, brush), [brush, version.value, box.value, boxShown.value, pointer.value, size.value]);
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    event.preventDefault();
    canvas.current!.focus({ preventScroll: true });
    canvas.current!.setPointerCapture(event.pointerId);
    brush.begin(fractionsOf(canvas.current!, event), event);
  };
  const move = (event: PointerEvent): void => {
    const passed = brush.painting ? event.getCoalescedEvents?.() : [];
    for (const one of passed?.length ? passed : [event]) brush.move(fractionsOf(canvas.current!, one), one);
  };
  const { x, y, side } = box.value;
  const percent = (value: number): string => `${Math.round(100 * value)} %`;
  return (
    <div class="brush">
      <div class="frame">
        <canvas
          ref={canvas}
          role="application"
          tabIndex={0}
          width={width}
          height={height}
          aria-label="The image, for painting a mask"
          aria-describedby={id}
          onPointerDown={down}
          onPointerMove={move}
          onPointerUp={() => brush.end()}
          onPointerCancel={() => brush.end()}
          onPointerLeave={() => void (pointer.value = null)}
          onKeyDown={(event) => brush.key(event) && event.preventDefault()}
          onFocus={() => brush.showBox(canvas.current!.matches(":focus-visible"))}
          onBlur={() => brush.showBox(false)}
        />
      </div>
      <output class="reading-box">
        {boxShown.value && `Box at ${percent(x)} from the left, ${percent(y)} from the top, ${percent(side)} wide`}
      </output>
      <p class="note" id={id}>
        Paint with the pointer. Keyboard: arrow keys move a box (with Shift: faster), + and − change its size, Enter occludes it,
        Delete restores it, Ctrl + Z undoes the last step.
      </p>
    </div>
  );
}

/** The image, its occluded part hatched, what the network never sees in grey, and the box or the brush. */
function draw(canvas: HTMLCanvasElement, brush: Brush): void {
  const { width, height } = canvas;
  const context = canvas.getContext("2d")!;
  const addBox = ([left, top, right, bottom]: Box): void =>
    context.rect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  drawPhoto(context, brush.image, width, height);
  context.imageSmoothingEnabled = true;
  context.drawImage(veil(brush.mask), 0, 0, width, height);
  context.beginPath();
  context.rect(0, 0, width, height);
  addBox(brush.region);
  context.fillStyle = "rgb(128 128 134 / 0.6)";
  context.fill("evenodd");
  context.beginPath();
  const pointer = brush.pointer.peek();
  if (brush.boxShown.peek()) addBox(brush.edges());
  else if (pointer) context.arc(pointer[0] * width, pointer[1] * height, brush.size.peek() * Math.max(width, height), 0, 2 * Math.PI);
  const line = Math.max(1.5, width / 320);
  // A white line with a dark one beside it: visible on any image.
  for (const [lineWidth, strokeStyle] of [[3 * line, "rgb(20 20 26 / 0.7)"], [line, "#fff"]] as const) {
    Object.assign(context, { lineWidth, strokeStyle });
    context.stroke();
  }
}

/** The occluded part, hatched: visible on any image, and without distinguishing colours. */
function veil({ width, height, marked }: Mask): HTMLCanvasElement {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d")!;
  const pixels = context.createImageData(width, height);
  marked.forEach((one, i) => {
    const stripe = ((i % width) + Math.floor(i / width)) % 8 < 4;
    if (one) pixels.data.set(stripe ? [194, 51, 122, 200] : [255, 255, 255, 130], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}
