// The channels as tiles: each a map over the image, or alone; on its own scale, or on one that others share. They are drawn
// when they are near the screen, a few per frame, and released when they are far.

import { useLayoutEffect, useMemo } from "preact/hooks";
import type { Geometry } from "../../api/types";
import { Field } from "../../maps/field";
import type { Grid } from "../../maps/packed";
import type { Look } from "../../maps/painter";
import { short, signed } from "../../numbers";
import { photoPixels, photoSize } from "../../shared/photo";
import { useRovingFocus } from "../../shared/roving_focus";
import { app } from "../../state/app";
import { type Channel, type Channels, fractionOf, ranked, setValues, type Sheet, signedPercent } from "./channels";

/** The longer side of the canvas of a tile, in its own pixels. */
const SIDE_PX = window.devicePixelRatio > 1.25 ? 208 : 136;
/** Milliseconds of drawing per frame. */
const SLICE_MS = 9;
const MARGIN_PX = 400;

/** Draws tiles near the screen. */
class TilePainter {
  private readonly due = new Set<Element>();
  private readonly near = new Set<Element>();
  private running = false;
  draw: (tile: HTMLElement) => void = () => {};
  done: () => void = () => {};
  readonly observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.near.add(target);
        else this.release(target);
        if (!target.isConnected) this.observer.unobserve(target);
      }
      this.redraw(entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target));
    },
    { rootMargin: `${MARGIN_PX}px` },
  );

  private release(tile: Element): void {
    this.near.delete(tile);
    this.due.delete(tile);
    const canvas = tile.querySelector("canvas");
    if (canvas) canvas.width = canvas.height = 1; // thousands of canvases would take hundreds of megabytes
  }

  /** Draw tiles again; all that are near the screen, if none are given. */
  redraw(tiles: Iterable<Element> = this.near): void {
    for (const tile of tiles) if (tile.isConnected) this.due.add(tile);
    if (this.running || !this.due.size) return;
    this.running = true;
    requestAnimationFrame(() => {
      this.running = false;
      const end = performance.now() + SLICE_MS;
      for (const tile of this.due) {
        this.due.delete(tile);
        this.draw(tile as HTMLElement);
        if (performance.now() > end) break;
      }
      if (this.due.size) this.redraw([]);
      else this.done();
    });
  }
}

interface Props {
  sheet: Sheet;
  style: Style;
  busy: boolean;
  /** Called when every tile near the screen is drawn. */
  drawn: () => void;
}

export function ChannelSheet({ sheet, style, busy, drawn }: Props) {
  const { answer, image, tiles, key } = sheet;
  const box = useRovingFocus<HTMLDivElement>(".channel");
  const painter = useMemo(() => new TilePainter(), []);
  painter.done = drawn;
  painter.draw = (element) => {
    const tile = tiles.find(({ channel }) => String(channel.channel) === element.dataset.channel);
    if (!tile || !element.isConnected) return; // it has just been removed
    const field = new ChannelField(tile.map, answer.geometry, answer.min_activation < 0, style.top);
    drawChannel(element.querySelector("canvas")!, image, field, style, SIDE_PX);
  };
  useLayoutEffect(() => painter.redraw(), [JSON.stringify(style), image, answer]);
  useLayoutEffect(() => {
    for (const element of box.current!.children) painter.observer.observe(element);
  });
  useLayoutEffect(() => () => painter.observer.disconnect(), []);
  const largest = Math.max(...tiles.map((tile) => Math.abs(fractionOf(tile.channel, answer))), 1e-9);
  return (
    <div aria-busy={busy || undefined}>
      <div class="sheet" role="group" aria-label="Channels" ref={box} style={{ "--ratio": String(image.naturalWidth / image.naturalHeight) }}>
        {tiles.map((tile) => (
          <ChannelTile key={`${key} ${tile.channel.channel}`} channel={tile.channel} answer={answer} largest={largest} />
        ))}
      </div>
    </div>
  );
}

function ChannelTile({ channel: one, answer, largest }: { channel: Channel; answer: Channels; largest: number }) {
  const { channel, contribution, gradient, mean, ranks } = one;
  const fraction = fractionOf(one, answer);
  /** What the channels are sorted by, if that is not the contribution. */
  const second = { gradient: `weight ${signed(gradient)}`, activation: `mean ${short(mean)}`, contribution: "", channel: "" }[answer.order];
  const label =
    `Channel ${channel}: ${signedPercent(fraction)} of the ${fraction < 0 ? "negative" : "positive"} evidence, ` +
    `${ranked(ranks.contribution, "largest")} contribution of ${answer.total}${second && `; ${second}`}`;
  return (
    <button
      class="channel"
      data-channel={channel}
      aria-label={label}
      title={`contribution ${signed(contribution)}`}
      onClick={() => setValues({ channel: String(channel) })}
    >
      <span class="frame"><canvas width={1} height={1} aria-hidden="true" /></span>
      <span class="line">
        <span class="number">{channel}</span>
        <span class="value">{signedPercent(fraction)}</span>
      </span>
      <span class="balance" aria-hidden="true">
        <span class={`fill ${fraction < 0 ? "against" : "for"}`} style={{ width: `${(50 * Math.abs(fraction)) / largest}%` }} />
      </span>
      {second && <span class="second">{second}</span>}
    </button>
  );
}

const TILE = 160;

/** How channels are drawn. `faint`: the image behind is grey and pale, so that all colour is that of the map. */
export interface Style {
  look: Look;
  over: boolean;
  faint: boolean;
  /** What the full colour stands for; 0: each map's own highest value. */
  top: number;
}

/** The map of a channel. Negative values are displayed only at a layer that has such values. */
export class ChannelField extends Field {
  private highest: number | null = null;

  constructor(
    raw: Grid,
    place: Geometry,
    signed: boolean,
    private readonly given: number,
  ) {
    super(raw, place, false, signed, 100);
  }

  /** Its own is taken at no more than the size of a tile: a layer may have two thousand of them. */
  override get top(): number {
    if (this.given) return this.given;
    this.highest ??= this.peak(this.landedWithin(TILE));
    return this.highest;
  }
}

/** The look of channels. A layer with values below zero has the signed colours for all of them. */
export function channelLook(look: Look, signed: boolean): Look {
  return { ...look, threshold: 0, contour: 0, colormap: look.colormap || (signed ? "signed" : "") };
}

export function drawChannel(canvas: HTMLCanvasElement, image: HTMLImageElement, field: Field, style: Style, side: number): void {
  const [width, height] = photoSize(image, side);
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  if (!style.over) return context.putImageData(app.painter.heat(field, width, height, style.look), 0, 0);
  const behind = style.faint ? faint(image, width, height) : photoPixels(image, width, height);
  context.putImageData(app.painter.over(behind, field, style.look, paper(width, height)), 0, 0);
}

let last: ImageData | null = null;

/** The pixels that tiles are drawn on before they are put on their canvas: one for all of a size. */
function paper(width: number, height: number): ImageData {
  if (last?.width !== width || last.height !== height) last = new ImageData(width, height);
  return last;
}

const PALE = 0.5;
const known = new WeakMap<HTMLImageElement, ImageData>();

/** The image grey and pale; the same for all tiles, so it is made once. */
function faint(image: HTMLImageElement, width: number, height: number): ImageData {
  let made = known.get(image);
  if (made?.width !== width || made.height !== height) {
    made = photoPixels(image, width, height);
    const { data } = made;
    for (let i = 0; i < data.length; i += 4) {
      const grey = (data[i]! * 19595 + data[i + 1]! * 38470 + data[i + 2]! * 7471) / 65536;
      data[i] = data[i + 1] = data[i + 2] = 255 - PALE * (255 - grey);
    }
    known.set(image, made);
  }
  return made;
}
