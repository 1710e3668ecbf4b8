// The pictures to choose from, one shelf for all tabs: samples by seed and filter, and one's own; dropped, pasted, taken.

import { get, give, wasStopped } from "../api/ask";
import { stream } from "../api/stream";
import type { PictureInfo, Samples } from "../api/types";
import { h } from "../dom";
import type { Page } from "../page";
import { Turns } from "../turns";
import { Own } from "../view";

const HEAVY = 25 << 20;
const COUNT = 20;
const SEVERAL = 12;

/** What samples are asked for; empty strings for anything. `low` and `high` in per cent. */
export interface Filter {
  label: string;
  said: string;
  low: string;
  high: string;
}

const shelves = new WeakMap<Page, Shelf>();

export class Shelf {
  readonly own: PictureInfo[] = [];
  samples: PictureInfo[] = [];
  /** How the last search went, in a sentence. */
  told = "";
  /** How far a search is. */
  search: { done: number; total: number } | null = null;
  private asked = "";
  private readonly turns = new Turns();
  private readonly kept: Own;
  private readonly listeners = new Set<() => void>();

  static of(page: Page): Shelf {
    const known = shelves.get(page);
    if (known) return known;
    const made = new Shelf(page);
    shelves.set(page, made);
    return made;
  }

  private constructor(private readonly page: Page) {
    this.kept = page.store.own("samples");
    page.store.listen((_, changed) => {
      if (changed.has("seed") || changed.has("more") || changed.has("model")) void this.load();
    });
    this.hearDrops();
    window.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) {
        event.preventDefault();
        void this.giveAll(files);
      }
    });
  }

  /** Called when anything on it changes. */
  listen(run: () => void): void {
    this.listeners.add(run);
  }

  private change(): void {
    for (const run of this.listeners) run();
  }

  get filter(): Filter {
    const { kept } = this;
    return { label: kept.get("label"), said: kept.get("said"), low: kept.get("low"), high: kept.get("high") };
  }

  set filter(filter: Filter) {
    this.kept.set({ ...filter });
  }

  /** Ask for the samples of the view, if they are not there; choose the first if nothing is chosen. */
  async load(): Promise<void> {
    const { path, searching } = this.question();
    if (path === this.asked) return this.choose();
    const signal = this.turns.begin();
    this.asked = path;
    this.told = "";
    try {
      const found = searching ? await this.searchFor(path, signal) : await get<Samples>(path, signal);
      if (signal !== this.turns.now) return;
      this.samples = found.items;
      this.told = searching ? summary(found) : found.items.length ? "" : "No images match.";
    } catch (error) {
      if (signal !== this.turns.now) return;
      this.asked = "";
      this.told = wasStopped(error) ? `Stopped; ${this.samples.length} images found.` : (error as Error).message;
    }
    this.turns.done(signal);
    this.search = null;
    this.change();
    this.choose();
  }

  /** The first, if nothing is chosen. */
  private choose(): void {
    const first = this.samples.find((one) => !one.error);
    if (!this.page.store.view.picture && first) this.page.store.set({ picture: first.id });
  }

  /** End a search; what it found stays. */
  stop(): void {
    this.turns.halt();
  }

  /** Upload a picture and look at it. */
  async give(file: Blob): Promise<void> {
    if (file.size > HEAVY) {
      this.page.say(`The file has ${(file.size / 1e6).toFixed(0)} MB; the limit is 25 MB. Select a smaller image.`, "error");
      return;
    }
    this.page.say("Uploading …");
    try {
      const made = await give(file);
      const known = this.own.findIndex((one) => one.id === made.id);
      if (known >= 0) this.own.splice(known, 1); // it may come again under another name
      this.own.unshift(made);
      this.page.say("");
      this.page.store.set({ picture: made.id }, true);
      this.change();
    } catch (error) {
      const name = file instanceof File && file.name ? `${file.name}: ` : "";
      this.page.say(`${name}${(error as Error).message}`, "error");
    }
  }

  /** Several files, one after the other; the first is looked at last. */
  async giveAll(files: readonly File[]): Promise<void> {
    for (const file of files.slice(0, SEVERAL).reverse()) await this.give(file);
  }

  /** What is known of a picture. */
  info(id: string): PictureInfo | undefined {
    return [...this.own, ...this.samples].find((one) => one.id === id);
  }

  private question(): { path: string; searching: boolean } {
    const { seed, model } = this.page.store.view;
    const { label, said, low, high } = this.filter;
    const query = new URLSearchParams({ seed: String(seed), n: String(COUNT) });
    if (label) query.set("label", label);
    const searching = Boolean(said || low || high);
    if (searching) query.set("model", model);
    if (said) query.set("prediction", said);
    if (low) query.set("low", String(Number(low) / 100));
    if (high) query.set("high", String(Number(high) / 100));
    return { path: `/api/samples?${query}`, searching };
  }

  private searchFor(path: string, signal: AbortSignal): Promise<Samples> {
    this.samples = [];
    this.search = { done: 0, total: 1 };
    this.change();
    const current = (): boolean => signal === this.turns.now;
    const hears = {
      progress: (done: number, total: number) => {
        if (!current()) return;
        this.search = { done, total };
        this.change();
      },
      event: (name: string, content: unknown) => {
        if (current() && name === "found") this.samples = [...this.samples, content as PictureInfo];
      },
    };
    return stream<Samples>(path, undefined, hears, signal);
  }

  private hearDrops(): void {
    const hint = h("div", { class: "dropping", hidden: true }, h("p", {}, "Drop the image anywhere"));
    document.body.append(hint);
    let inside = 0;
    const carries = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    const over = (change: number): void => {
      inside = Math.max(0, inside + change);
      hint.hidden = inside === 0;
    };
    window.addEventListener("dragenter", (event) => carries(event) && over(1));
    window.addEventListener("dragleave", (event) => carries(event) && over(-1));
    window.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
    window.addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      over(-Infinity);
      void this.giveAll([...event.dataTransfer!.files]);
    });
  }
}

function summary(found: Samples): string {
  const unread = found.n_failed ? `; ${found.n_failed} could not be read` : "";
  const more = found.complete ? " No other images match." : found.items.length < COUNT ? " Shuffle to evaluate others." : "";
  return `${found.items.length === 1 ? "1 match" : `${found.items.length} matches`} among ${found.n_evaluated} evaluated images${unread}.${more}`;
}
