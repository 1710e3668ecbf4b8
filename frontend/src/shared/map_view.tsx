// A figure with a canvas: the photo, the map, or the overlay; with the map value under the pointer or the keyboard's mark.

import { effect, type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Field } from "../maps/field";
import type { Look } from "../maps/painter";
import { short } from "../numbers";
import { mapStyle } from "../state/view";
import { inNextFrame } from "./debounce";
import { colourAt, drawMap, fit, type Kind, relevantStyle } from "./map_canvas";
import { fractionsOf, useZoomGestures, WHOLE, type Zoom } from "./zoom";

/** The longer side of the canvas, in its own pixels; the style sheet sets its size on the screen. */
export const SIDE_PX = 512;
/** The same while the image is enlarged by more than this. */
const ENLARGED_PX = 1024;
const STEP_TO_ENLARGED = 1.5;
/** Farther than this, a press and a release are no click, but drag an enlarged image. */
const DRAG_PX = 5;

/** A position in the image, in its pixels; `by` is the view in which the keyboard moved there, so that it is read out. */
export interface Mark {
  x: number;
  y: number;
  by: Kind | null;
}

interface Props {
  kind: Kind;
  image: HTMLImageElement | null;
  /** The map; null for the photo alone. */
  field: Field | null;
  /** What the image displays, for those who cannot see it. */
  label: string;
  caption?: ComponentChildren;
  side?: number;
  /** The marked position; views that share it are marked together. */
  mark?: Signal<Mark | null>;
  zoom?: Zoom;
  /** Another colour map than that of the view. */
  colormap?: string;
  /** Percent of the width that is cut off on the left. */
  clip?: number;
  /** A click on the image: where, and the width of a pixel of the screen, in fractions of the image. */
  pick?: ((x: number, y: number, perPixel: number) => void) | undefined;
  /** What is painted instead of the photo and the map. */
  paint?: (canvas: HTMLCanvasElement, image: HTMLImageElement) => void;
  /** What is read at fractions of the image, instead of the map value and the colour. */
  read?: (x: number, y: number) => string;
  class?: string;
  children?: ComponentChildren;
}

export function MapView(props: Props) {
  const { kind, image, field, label, caption, side = SIDE_PX, zoom, paint, pick, clip } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const own = useSignal<Mark | null>(null);
  const mark = props.mark ?? own;
  const styled = (style: Look): Look => (props.colormap ? { ...style, colormap: props.colormap } : style);
  const drawn = useRef("");
  const { k, x, y } = zoom?.window.value ?? WHOLE;
  const pixels = k > STEP_TO_ENLARGED ? Math.max(side, ENLARGED_PX) : side;

  const draw = useRef(() => {});
  draw.current = () => {
    if (!image) {
      canvas.current!.width = canvas.current!.height = 1; // nothing of another image stays
      return;
    }
    const style = styled(mapStyle.peek());
    drawn.current = relevantStyle(kind, style);
    fit(canvas.current!, image, pixels);
    if (paint) paint(canvas.current!, image);
    else drawMap(canvas.current!, kind, image, field, style);
  };
  const drawSoon = useMemo(() => inNextFrame(() => draw.current()), []);
  useLayoutEffect(() => draw.current(), [image, kind === "photo" || paint ? null : field, pixels, paint]); // a photo is the same with any map
  useLayoutEffect(() => effect(() => void (relevantStyle(kind, styled(mapStyle.value)) !== drawn.current && drawSoon())), []);
  useZoomGestures(zoom, canvas);

  const [width, height] = field?.geometry.original ?? [1, 1];
  // The middle of the pixel there: what is read is what the library has for that pixel.
  const middle = (at: number, count: number): number => Math.min(Math.max(Math.floor(at), 0), count - 1) + 0.5;
  const move = (toX: number, toY: number, by: Kind | null): void =>
    void (field && (mark.value = { x: middle(toX, width), y: middle(toY, height), by }));
  const point = (event: PointerEvent): void => {
    const [left, top] = fractionsOf(canvas.current!, event);
    move(left * width, top * height, null);
  };
  const leave = (): void => void (mark.value = null);
  const pressed = useRef([0, 0]);
  const click = (event: MouseEvent): void => {
    const [startX, startY] = pressed.current as [number, number];
    if (Math.hypot(event.clientX - startX, event.clientY - startY) > DRAG_PX) return;
    pick?.(...fractionsOf(canvas.current!, event), 1 / canvas.current!.getBoundingClientRect().width);
  };
  const keydown = (event: KeyboardEvent): void => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape") leave();
    if (!step || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey || !field) return;
    event.preventDefault();
    const at = mark.peek();
    if (!at) return move((x + 0.5 / k) * width, (y + 0.5 / k) * height, kind);
    const far = Math.max(1, Math.round(Math.max(width, height) / (64 * k)));
    move(at.x + far * step[0]!, at.y + far * step[1]!, kind);
  };
  const transform = k > 1 ? `scale(${k}) translate(${-100 * x}%, ${-100 * y}%)` : "";
  return (
    <figure class={`view ${kind} ${props.class ?? ""}`} style={image ? { "--ratio": String(image.naturalWidth / image.naturalHeight) } : {}}>
      <div class={`frame ${k > 1 ? "enlarged" : ""}`}>
        <canvas
          ref={canvas}
          role="img"
          width={1}
          height={1}
          aria-label={label}
          tabIndex={props.mark ? 0 : undefined}
          style={{ transformOrigin: "0 0", transform, clipPath: clip === undefined ? "" : `inset(0 0 0 ${clip}%)` }}
          onPointerMove={point}
          onPointerDown={(event) => {
            pressed.current = [event.clientX, event.clientY];
            point(event);
          }}
          onClick={pick && click}
          onPointerLeave={leave}
          onKeyDown={props.mark ? keydown : undefined}
          onBlur={props.mark ? leave : undefined}
        />
        {image && field && <Reading {...props} image={image} field={field} mark={mark} />}
        {zoom && (
          <span class={`zoom-hint ${zoom.hint.value ? "on" : ""}`} aria-hidden="true">
            Ctrl + wheel, or a double click, enlarges the image
          </span>
        )}
        {props.children}
      </div>
      {caption !== undefined && <figcaption>{caption}</figcaption>}
    </figure>
  );
}

function Reading(props: Props & { mark: Signal<Mark | null>; image: HTMLImageElement; field: Field }) {
  const { mark, zoom, image, field, kind, read } = props;
  const at = mark.value;
  const { k, x, y } = zoom?.window.value ?? WHOLE;
  const [width, height] = field.geometry.original;
  const [across, down] = at ? [at.x / width, at.y / height] : [0, 0];
  const [left, top] = [(across - x) * k, (down - y) * k];
  const on = at && left >= 0 && left <= 1 && top >= 0 && top <= 1 ? "on" : "";
  const place = { left: `${100 * left}%`, top: `${100 * top}%` };
  return (
    <>
      <span class={`cross ${on}`} style={place} aria-hidden="true" />
      <output class={`reading ${on} ${left > 0.6 ? "beside" : ""}`} style={place} aria-hidden={at?.by === kind ? "false" : "true"}>
        {at && (read?.(across, down) ?? `${short(field.at(at.x, at.y))} · ${colourAt(image, across, down)}`)}
      </output>
    </>
  );
}
