// A picture with what the model saw in it and what it missed: the map of what was said, the map of what is true.

import { isAborted } from "../../api/http";
import { loadImage as picture } from "../../api/images";
import { fill, h } from "../../dom";
import { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { lookOf, type Page } from "../../page";
import { HeatView } from "../../parts/heat";
import { Trouble } from "../../parts/trouble";
import { mapsOf } from "./maps";
import { ways } from "./ways";
import type { RunInfo, Said } from "./wire";

const SIDE = 256;
const AT_ONCE = 2;

/** Pictures with their maps, asked for a few at a time, in their order; stopped together. */
export class Pairs {
  readonly element = h("div", { class: "pairs" });
  private stopping = new AbortController();
  private waiting: (() => Promise<void>)[] = [];
  private running = 0;
  private left = 0;

  constructor(private readonly page: Page) {}

  clear(): void {
    this.stop();
    fill(this.element);
    delete this.element.dataset.drawn;
  }

  /** What is not drawn yet will not be. */
  stop(): void {
    this.stopping.abort();
    this.stopping = new AbortController();
    this.waiting = [];
    this.left = 0;
  }

  add(run: RunInfo, rows: readonly Said[]): void {
    for (const row of rows) this.element.append(this.made(run, row));
  }

  private made(run: RunInfo, row: Said): HTMLElement {
    const { image: id } = row;
    const same = row.correct === true || row.label_index === null;
    const views = [new HeatView("photo", this.page.painter, SIDE)];
    if (run.served_model) views.push(...(same ? [0] : [0, 1]).map(() => new HeatView("overlay", this.page.painter, SIDE)));
    const state = new Trouble();
    const figure = h("div", { class: "shots" }, ...views.map((view) => view.element));
    const element = h(
      "article",
      { class: "pair card" },
      h(
        "p",
        { class: "row" },
        h("b", {}, row.label ?? row.predicted),
        h("span", {}, same ? `predicted with ${percent(row.confidence)}` : `predicted as ${row.predicted}, ${percent(row.confidence)}`),
      ),
      id && figure,
      state.element,
      h(
        "p",
        { class: "row" },
        h("span", { class: "note name" }, row.name),
        ...(id ? ways(this.page, run, id, row.name) : []),
      ),
    );
    if (id) {
      this.left++;
      const { signal } = this.stopping;
      this.waiting.push(() => this.draw(run, row, id, same, views, state, signal));
      void this.next();
    }
    return element;
  }

  private async next(): Promise<void> {
    if (this.running >= AT_ONCE) return;
    const work = this.waiting.shift();
    if (!work) return;
    this.running++;
    await work();
    this.running--;
    void this.next();
  }

  private async draw(
    run: RunInfo,
    row: Said,
    id: string,
    same: boolean,
    views: HeatView[],
    state: Trouble,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const image = await picture(id, SIDE);
      const look = lookOf(this.page);
      views[0]!.set(image, null, look, "image");
      if (run.served_model) {
        for (const view of views.slice(1)) view.set(image, null, look, "…");
        const targets = same ? [row.predicted_index] : [row.predicted_index, row.label_index!];
        const answer = await mapsOf(this.page, run, id, targets, signal);
        answer.maps.forEach((made, i) => {
          const what = i === 0 ? "predicted" : "true class";
          const field = Field.of(made, answer.geometry);
          const empty = field.map.values.some((value) => value > 0) ? "" : ". Empty: no positive evidence";
          views[i + 1]?.set(image, field, look, `${what}: ${made.target}${empty}`);
        });
      }
    } catch (error) {
      if (isAborted(error)) return;
      state.tell(error);
    }
    if (!signal.aborted && --this.left <= 0) this.element.dataset.drawn = String(this.element.children.length);
  }
}
