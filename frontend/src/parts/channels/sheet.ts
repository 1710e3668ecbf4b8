// The contact sheet: a tile a channel, asked for as one scrolls, drawn when it is near, let go when it is far.

import { picture, type Place, wasStopped } from "../../api";
import { fill, h } from "../../dom";
import { type Grid, short, unpack } from "../../maps";
import type { Page } from "../../page";
import { type About, type Channel, type Channels, channels, type Order } from "./asking";
import { ChannelField, paintTile, type Style } from "./paint";
import { ranked, signed, Unit } from "./words";

/** Channels that are asked for at once. */
const SLICE = 48;
/** The longest side of a tile's canvas, in its own pixels. */
const SIDE = window.devicePixelRatio > 1.25 ? 208 : 136;
/** Milliseconds of painting in a frame. */
const SHARE = 9;

export interface Tile {
  channel: Channel;
  map: Grid;
  element: HTMLElement;
  canvas: HTMLCanvasElement;
  near: boolean;
  stale: boolean;
}

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
  private running: AbortController | null = null;
  private readonly due = new Set<Tile>();
  private painting = false;
  private reached: HTMLElement | null = null;
  private readonly byElement = new Map<Element, Tile>();
  private readonly watch = new IntersectionObserver((seen) => this.moved(seen), { rootMargin: "400px" });
  private readonly end = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.grow(), {
    rootMargin: "350px",
  });

  constructor(private readonly page: Page) {
    this.element = h("div", {}, this.grid, this.more);
    this.grid.addEventListener("keydown", (event) => this.walk(event));
  }

  get place(): Place {
    return this.answer!.place;
  }

  /** Whether the layer has values below zero. */
  get signed(): boolean {
    return (this.answer?.least ?? 0) < 0;
  }

  /** Whether an answer is on its way. */
  get waiting(): boolean {
    return this.running !== null;
  }

  /** The picture behind the tiles. */
  get photo(): HTMLImageElement | null {
    return this.image;
  }

  /** Show these channels in this order; the old ones stay until the new ones are there. Tells whether they came. */
  async load(about: About, order: Order, style: (answer: Channels) => Style): Promise<boolean> {
    this.stop();
    const running = (this.running = new AbortController());
    this.asked = { about, order };
    this.element.setAttribute("aria-busy", "true");
    try {
      const [image, answer] = await Promise.all([
        picture(about.picture),
        channels(about, order, 0, SLICE, running.signal),
      ]);
      if (this.running !== running) return false;
      this.running = null;
      this.clear();
      this.image = image;
      this.style = style(answer);
      this.grid.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight));
      this.add(answer);
      return true;
    } catch (error) {
      if (this.running === running && !wasStopped(error)) {
        this.asked = this.running = null;
        this.clear();
        fill(this.more, h("p", { role: "alert" }, (error as Error).message));
      }
      return false;
    } finally {
      if (!this.running) this.element.removeAttribute("aria-busy");
    }
  }

  /** Nobody waits any more. */
  stop(): void {
    this.running?.abort();
    this.running = null;
    this.element.removeAttribute("aria-busy");
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
    if (!asked || !answer || this.running || this.tiles.length >= answer.total) return;
    const running = (this.running = new AbortController());
    fill(this.more, h("span", { class: "soft" }, "More channels …"));
    try {
      const next = await channels(asked.about, asked.order, this.tiles.length, SLICE, running.signal);
      if (this.running !== running) return;
      this.running = null;
      this.add(next);
    } catch (error) {
      if (this.running !== running || wasStopped(error)) return;
      this.running = null;
      fill(
        this.more,
        h("span", { role: "alert" }, (error as Error).message),
        h("button", { onclick: () => void this.grow() }, "Try again"),
      );
    }
  }

  private clear(): void {
    this.watch.disconnect();
    this.byElement.clear();
    this.due.clear();
    this.tiles.length = 0;
    this.answer = this.reached = null;
    fill(this.grid);
    fill(this.more);
  }

  private add(answer: Channels): void {
    this.answer = answer;
    const maps = unpack(answer.maps);
    const unit = new Unit(answer.largest);
    const made = answer.channels.map((channel, i) => this.made(channel, maps[i]!, answer, unit));
    const anew = !this.tiles.length;
    if (anew && made[0]) this.reach(made[0].element);
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

  private made(channel: Channel, map: Grid, answer: Channels, unit: Unit): Tile {
    const canvas = h("canvas", { width: 1, height: 1, "aria-hidden": "true" });
    const { contribution } = channel;
    const bar = h("span", { class: contribution < 0 ? "fill against" : "fill for" });
    bar.style.width = `${50 * unit.share(contribution)}%`;
    const second = secondOf(channel, answer.order);
    const element = h(
      "button",
      {
        class: "channel",
        tabindex: -1,
        "data-channel": channel.channel,
        "aria-label":
          `Channel ${channel.channel}: contributes ${signed(contribution)}, ` +
          `${ranked(channel.ranks.contribution, "largest")} of ${answer.total}${second && `; ${second}`}`,
        onclick: () => this.onopen(channel.channel),
        onfocus: () => this.reach(element),
      },
      h("span", { class: "frame" }, canvas),
      h(
        "span",
        { class: "line" },
        h("span", { class: "number" }, `${channel.channel}`),
        h("span", { class: "value" }, unit.tell(contribution)),
      ),
      h("span", { class: "balance", "aria-hidden": "true" }, bar),
      second && h("span", { class: "second" }, second),
    );
    return { channel, map, element, canvas, near: false, stale: true };
  }

  /** Only the tile that was last in focus is reached by Tab; arrows go on from it. */
  private reach(element: HTMLElement): void {
    if (this.reached) this.reached.tabIndex = -1;
    this.reached = element;
    element.tabIndex = 0;
  }

  private walk(event: KeyboardEvent): void {
    const at = this.tiles.findIndex((tile) => tile.element === document.activeElement);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const top = this.tiles[0]!.element.offsetTop;
    const second = this.tiles.findIndex((tile) => tile.element.offsetTop > top);
    const columns = second < 0 ? this.tiles.length : second;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns }[event.key];
    const next = event.key === "Home" ? 0 : event.key === "End" ? this.tiles.length - 1 : to;
    if (next === undefined) return;
    event.preventDefault();
    this.tiles[next]?.element.focus();
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

/** What the order goes by, where that is not the contribution. */
function secondOf(channel: Channel, order: Order): string {
  if (order === "gradient") return `weight ${signed(channel.gradient)}`;
  if (order === "activation") return `mean ${short(channel.mean).replace("-", "−")}`;
  return "";
}
