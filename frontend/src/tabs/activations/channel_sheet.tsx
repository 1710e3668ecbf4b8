// The channels as tiles. They are drawn when they are near the screen, a few per frame, and released when they are far.

import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { short, signed } from "../../numbers";
import { useRovingFocus } from "../../shared/roving_focus";
import { ChannelField, drawChannel, type Style } from "./channel_drawing";
import { fractionOf, ranked, signedPercent } from "./channel_text";
import type { Channel, Order } from "./schemas";
import type { Sheet, Tile } from "./use_channels";

/** The longer side of the canvas of a tile, in its own pixels. */
const SIDE_PX = window.devicePixelRatio > 1.25 ? 208 : 136;
/** Milliseconds of drawing per frame. */
const SLICE_MS = 9;
const MARGIN_PX = 400;

/** Draws tiles near the screen. */
class TilePainter {
  private readonly due = new Set<Element>();
  private readonly near = new Set<Element>();
  private readonly draws = new Map<Element, (canvas: HTMLCanvasElement) => void>();
  private running = false;
  done: () => void = () => {};
  private readonly observer = new IntersectionObserver((entries) => this.moved(entries), { rootMargin: `${MARGIN_PX}px` });

  /** Register how a tile is drawn; returns how to forget it. */
  add(tile: Element, draw: (canvas: HTMLCanvasElement) => void): () => void {
    const known = this.draws.has(tile);
    this.draws.set(tile, draw);
    if (!known) this.observer.observe(tile);
    else if (this.near.has(tile)) this.due.add(tile);
    this.pump();
    return () => {
      this.observer.unobserve(tile);
      for (const set of [this.due, this.near]) set.delete(tile);
      this.draws.delete(tile);
    };
  }

  /** Draw all tiles near the screen again. */
  redraw(): void {
    for (const tile of this.near) this.due.add(tile);
    this.pump();
  }

  private moved(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        this.near.add(target);
        this.due.add(target);
        continue;
      }
      this.near.delete(target);
      this.due.delete(target);
      const canvas = target.querySelector("canvas");
      if (canvas) canvas.width = canvas.height = 1; // thousands of canvases would take hundreds of megabytes
    }
    this.pump();
  }

  private pump(): void {
    if (this.running || !this.due.size) return;
    this.running = true;
    requestAnimationFrame(() => {
      this.running = false;
      const end = performance.now() + SLICE_MS;
      for (const tile of this.due) {
        this.due.delete(tile);
        const canvas = tile.querySelector("canvas");
        if (canvas) this.draws.get(tile)?.(canvas);
        if (performance.now() > end) break;
      }
      if (this.due.size) this.pump();
      else this.done();
    });
  }
}

interface Props {
  sheet: Sheet;
  style: Style;
  busy: boolean;
  open: (channel: number) => void;
  /** Called when every tile near the screen is drawn. */
  drawn: () => void;
}

export function ChannelSheet({ sheet, style, busy, open, drawn }: Props) {
  const { answer, image, tiles } = sheet;
  const box = useRovingFocus<HTMLDivElement>(".channel");
  const painter = useMemo(() => new TilePainter(), []);
  painter.done = drawn;
  const latest = useRef({ image, style });
  latest.current = { image, style };
  const styleKey = JSON.stringify(style);
  useLayoutEffect(() => painter.redraw(), [styleKey, image, answer]);
  const draw = (tile: Tile) => (canvas: HTMLCanvasElement) => {
    const now = latest.current;
    const field = new ChannelField(tile.map, answer.geometry, answer.min_activation < 0, now.style.top);
    drawChannel(canvas, now.image, field, now.style, SIDE_PX);
  };
  const largest = Math.max(...tiles.map((tile) => Math.abs(fractionOf(tile.channel, answer))), 1e-9);
  return (
    <div aria-busy={busy || undefined}>
      <div
        class="sheet"
        role="group"
        aria-label="Channels"
        ref={box}
        style={{ "--ratio": String(image.naturalWidth / image.naturalHeight) }}
      >
        {tiles.map((tile) => (
          <ChannelTile
            key={`${sheet.key} ${tile.channel.channel}`}
            tile={tile}
            sheet={sheet}
            largest={largest}
            register={(element) => painter.add(element, draw(tile))}
            open={() => open(tile.channel.channel)}
          />
        ))}
      </div>
    </div>
  );
}

interface TileProps {
  tile: Tile;
  sheet: Sheet;
  largest: number;
  register: (element: Element) => () => void;
  open: () => void;
}

function ChannelTile({ tile, sheet, largest, register, open }: TileProps) {
  const { channel } = tile;
  const { answer } = sheet;
  const element = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => register(element.current!), [tile]);
  const fraction = fractionOf(channel, answer);
  const second = secondText(channel, answer.order);
  const label =
    `Channel ${channel.channel}: ${signedPercent(fraction)} of the ${fraction < 0 ? "negative" : "positive"} evidence, ` +
    `${ranked(channel.ranks.contribution, "largest")} contribution of ${answer.total}${second && `; ${second}`}`;
  return (
    <button ref={element} class="channel" data-channel={channel.channel} aria-label={label} title={`contribution ${signed(channel.contribution)}`} onClick={open}>
      <span class="frame">
        <canvas width={1} height={1} aria-hidden="true" />
      </span>
      <span class="line">
        <span class="number">{channel.channel}</span>
        <span class="value">{signedPercent(fraction)}</span>
      </span>
      <span class="balance" aria-hidden="true">
        <span class={`fill ${fraction < 0 ? "against" : "for"}`} style={{ width: `${(50 * Math.abs(fraction)) / largest}%` }} />
      </span>
      {second && <span class="second">{second}</span>}
    </button>
  );
}

/** What the channels are sorted by, if that is not the contribution. */
function secondText(channel: Channel, order: Order): string {
  if (order === "gradient") return `weight ${signed(channel.gradient)}`;
  return order === "activation" ? `mean ${short(channel.mean)}` : "";
}
