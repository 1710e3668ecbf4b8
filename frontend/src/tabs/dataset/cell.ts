// The pictures of one number of the table, with both maps.

import { get } from "../../api/http";
import { fill, h } from "../../dom";
import { counted } from "../../numbers";
import type { Page } from "../../page";
import { Trouble } from "../../parts/trouble";
import { Turns } from "../../turns";
import { Pairs } from "./pair";
import { query, type RunInfo, type SaidList } from "./wire";

const STEP = 4;

export class CellPictures {
  readonly element: HTMLElement;
  private readonly heading = h("h3", { tabindex: -1 });
  private readonly pairs: Pairs;
  private readonly trouble = new Trouble();
  private readonly more = h("button", { onclick: () => void this.further() }, "Show more");
  private readonly turns = new Turns();
  private shown: { run: RunInfo; cell: string; name(output: number): string } | null = null;

  constructor(page: Page) {
    this.pairs = new Pairs(page);
    const label = { class: "cell", "aria-label": "Images of the cell", hidden: true };
    this.element = h("section", label, this.heading, this.pairs.element, this.trouble.element, this.more);
  }

  /** The pictures of a cell ("3-5": of class 3, taken for class 5); none if it is no such thing. */
  async show(run: RunInfo, cell: string, name: (output: number) => string): Promise<void> {
    if (!/^\d+-\d+$/.test(cell)) return this.clear();
    if (this.shown?.run.id === run.id && this.shown.cell === cell) return;
    this.pairs.clear();
    this.shown = { run, cell, name };
    const some = await this.further();
    if (!some) return;
    this.heading.focus({ preventScroll: true });
    this.element.scrollIntoView({ block: "nearest" });
  }

  clear(): void {
    this.turns.end();
    this.pairs.clear();
    this.shown = null;
    this.element.hidden = true;
  }

  /** Nobody watches: what has not come is asked for again the next time. */
  leave(): void {
    if (this.pairs.element.dataset.drawn === undefined) this.clear();
  }

  /** Some more; true if there are any. */
  private async further(): Promise<boolean> {
    const { run, cell, name } = this.shown!;
    const [truth, said] = cell.split("-").map(Number) as [number, number];
    const from = this.pairs.element.children.length;
    const signal = this.turns.begin();
    this.trouble.clear();
    try {
      const found = await get<SaidList>(query("cell", { run: run.id, label_index: truth, predicted_index: said, offset: from, n: STEP }), signal);
      if (!this.turns.done(signal)) return false;
      const first = found.items[0];
      const of = (truth === said ? first?.predicted : first?.label) || name(truth) || `class ${truth}`;
      const how = truth === said ? ", predicted correctly" : `, predicted as ${first?.predicted ?? name(said)}`;
      fill(this.heading, `${counted(found.total, "image")} of ${of}${how}`);
      this.element.hidden = false;
      this.pairs.add(run, found.items);
      this.more.hidden = from + found.items.length >= found.total;
      this.element.dataset.cell = cell;
      this.element.dataset.total = String(found.total);
      return first !== undefined;
    } catch (error) {
      if (!this.turns.done(signal)) return false;
      this.element.hidden = false;
      this.trouble.tell(error);
      if (!from) this.shown = null;
      return false;
    }
  }
}
