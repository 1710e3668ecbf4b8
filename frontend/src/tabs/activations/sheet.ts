// The contact sheet: a tile a channel, asked for as one scrolls, drawn when it is near, let go when it is far.

import { loadImage as picture } from "../../api/images";
import type { Geometry } from "../../api/types";
import { busy, fill, h } from "../../dom";
import { unpack } from "../../maps/packed";
import type { Page } from "../../page";
import { roving } from "../../parts/roving";
import { Trouble } from "../../parts/trouble";
import { Turns } from "../../turns";
import { type About, channels } from "./asking";
import { ChannelField, paintTile, type Style } from "./paint";
import { type Tile, tileOf } from "./tile";
import type { Channels, Order } from "./wire";
import { Unit } from "./words";

/** Channels that are asked for at once. */
const SLICE = 48;
/** The longest side of a tile's canvas, in its own pixels. */
const SIDE = window.devicePixelRatio > 1.25 ? 208 : 136;
/** Milliseconds of painting in a frame. */
const SHARE = 9;

export class Sheet {
  readonly element: HTMLElement;
  /** What the last slice said of the whole layer. */
  answer: Channels | null = null;
  readonly tiles: Tile[] = [];
  /** A tile was chosen. */
  onopen: (channel: number) => void = () => {};
  /** More tiles are there; all are new if `anew`. */
  onload: (anew: boolean) => void = () => {};
  /** Every tile near the screen is painted. */
  ondrawn: () => void = () => {};

  private readonly grid = h("div", { class: "sheet", role: "group", "aria-label": "Channels" });
  private readonly more = h("div", { class: "more" });
  private image: HTMLImageElement | null = null;
  private style: Style | null = null;
  private asked: { about: About; order: Order } | null = null;
  private readonly turns = new Turns();
  private readonly due = new Set<Tile>();
  private painting = false;
  private readonly byElement = new Map<Element, Tile>();
  private readonly watch = new IntersectionObserver((seen) => this.moved(seen), { rootMargin: "400px" });
  private readonly end = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.grow(), {
    rootMargin: "350px",
  });

  constructor(private readonly page: Page) {
    this.element = h("div", {}, this.grid, this.more);
    roving(this.grid, ".channel");
  }

  get place(): Geometry {
    return this.answer!.geometry;
  }

  /** Whether the layer has values below zero. */
  get signed(): boolean {
    return (this.answer?.min_activation ?? 0) < 0;
  }

  /** Whether an answer is on its way. */
  get waiting(): boolean {
    return this.turns.waiting;
  }

  /** The picture behind the tiles. */
  get photo(): HTMLImageElement | null {
    return this.image;
  }

  /** Show these channels in this order; the old ones stay until the new ones are there. Tells whether they came. */
  async load(about: About, order: Order, style: (answer: Channels) => Style): Promise<boolean> {
    const signal = this.turns.begin();
    this.asked = { about, order };
    busy(this.element, true);
    try {
      const [image, answer] = await Promise.all([
        picture(about.image),
        channels(about, order, 0, SLICE, signal),
      ]);
      if (!this.turns.done(signal)) return false;
      this.clear();
      this.image = image;
      this.style = style(answer);
      this.grid.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight));
      this.add(answer);
      return true;
    } catch (error) {
      if (this.turns.done(signal)) {
        this.asked = null;
        this.clear();
        this.fail(error);
      }
      return false;
    } finally {
      busy(this.element, this.waiting);
    }
  }

  /** Nobody waits any more. */
  stop(): void {
    this.turns.end();
    busy(this.element, false);
  }

  /** Paint otherwise. */
  paint(style: Style): void {
    if (JSON.stringify(style) === JSON.stringify(this.style)) return;
    this.style = style;
    for (const tile of this.tiles) {
      tile.stale = true;
      if (tile.near) this.due.add(tile);
    }
    this.pump();
  }

  /** The tile of a channel, if it is on the sheet; and the one before or after it. */
  tile(channel: number, step = 0): Tile | undefined {
    const at = this.tiles.findIndex((one) => one.channel.channel === channel);
    if (at >= 0 && at + step >= this.tiles.length - 4) this.grow();
    return at < 0 ? undefined : this.tiles[at + step];
  }

  /** Ask for the next slice, unless it is on its way or all are there. */
  private async grow(): Promise<void> {
    const { asked, answer } = this;
    if (!asked || !answer || this.waiting || this.tiles.length >= answer.total) return;
    const signal = this.turns.begin();
    fill(this.more, h("span", { class: "soft" }, "More channels …"));
    try {
      const next = await channels(asked.about, asked.order, this.tiles.length, SLICE, signal);
      if (this.turns.done(signal)) this.add(next);
    } catch (error) {
      if (this.turns.done(signal)) this.fail(error, h("button", { onclick: () => void this.grow() }, "Try again"));
    }
  }

  private fail(error: unknown, ...ways: HTMLElement[]): void {
    const trouble = new Trouble();
    fill(this.more, trouble.element);
    trouble.tell(error, ...ways);
  }

  private clear(): void {
    this.watch.disconnect();
    this.byElement.clear();
    this.due.clear();
    this.tiles.length = 0;
    this.answer = null;
    fill(this.grid);
    fill(this.more);
  }

  private add(answer: Channels): void {
    this.answer = answer;
    const maps = unpack(answer.maps);
    const unit = new Unit(answer.largest);
    const made = answer.channels.map((one, i) => tileOf(one, maps[i]!, answer, unit, () => this.onopen(one.channel)));
    const anew = !this.tiles.length;
    if (anew && made[0]) made[0].element.tabIndex = 0;
    this.tiles.push(...made);
    this.grid.append(...made.map((tile) => tile.element));
    for (const tile of made) {
      this.byElement.set(tile.element, tile);
      this.watch.observe(tile.element);
    }
    const left = answer.total - this.tiles.length;
    fill(this.more, left > 0 && h("span", { class: "soft" }, `${left} more below`));
    this.end.unobserve(this.more);
    if (left > 0) this.end.observe(this.more); // anew: it tells at once if the end is still near
    this.onload(anew);
  }

  private moved(seen: IntersectionObserverEntry[]): void {
    for (const one of seen) {
      const tile = this.byElement.get(one.target);
      if (!tile) continue;
      tile.near = one.isIntersecting;
      if (tile.near && tile.stale) this.due.add(tile);
      if (!tile.near) {
        this.due.delete(tile);
        tile.canvas.width = tile.canvas.height = 1; // thousands of canvases would take hundreds of megabytes
        tile.stale = true;
      }
    }
    this.pump();
  }

  /** A few tiles a frame, so that scrolling stays smooth. */
  private pump(): void {
    if (this.painting || !this.due.size) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      const end = performance.now() + SHARE;
      for (const tile of this.due) {
        this.due.delete(tile);
        this.draw(tile);
        if (performance.now() > end) break;
      }
      if (this.due.size) this.pump();
      else this.ondrawn();
    });
  }

  private draw(tile: Tile): void {
    const { image, style } = this;
    if (!image || !style) return;
    const field = new ChannelField(tile.map, this.place, this.signed, style.top);
    paintTile(tile.canvas, image, field, this.page.painter, style, SIDE);
    tile.stale = false;
  }
}
