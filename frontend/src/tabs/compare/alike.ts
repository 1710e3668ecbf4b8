// How alike all maps are, and where they differ.

import { h } from "../../dom";
import { Field } from "../../maps/field";
import { lookOf, type Page } from "../../page";
import { HeatView } from "../../parts/heat";
import type { Found } from "./found";
import { Matrix } from "./matrix";
import type { Cell } from "./wire";
import { label } from "./words";

export class Alike {
  readonly element: HTMLElement;
  private readonly matrix: Matrix;
  private readonly view: HeatView;
  private readonly apart: HTMLElement;
  private found: Found | null = null;

  /** `choose` is told two maps to be looked at. */
  constructor(
    private readonly page: Page,
    choose: (one: Cell, other: Cell) => void,
  ) {
    this.matrix = new Matrix((one, other) => {
      const maps = this.found!.pictured;
      choose(maps[one]!, maps[other]!);
    });
    this.view = new HeatView("overlay", page.painter);
    this.apart = h("div", { class: "apart" }, h("h3", {}, "Disagreement"), this.view.element);
    this.element = h(
      "section",
      { class: "card alike", hidden: true },
      h("h2", {}, "Similarity"),
      h(
        "p",
        { class: "note" },
        "Spearman's rank correlation over all positions that every network covers: 1 if two maps have the same ",
        "order, 0 if the orders are unrelated, −1 if the order is reversed. Only the order matters, not the values.",
      ),
      h("div", { class: "two" }, this.matrix.element, this.apart),
    );
  }

  draw(found: Found, [a, b]: [Cell | undefined, Cell | undefined]): void {
    const { whole, pictured: maps } = found;
    this.element.hidden = !whole?.correlation;
    if (!whole?.correlation) return;
    const names = maps.map((cell) => label(found, cell));
    this.matrix.set(whole.correlation, names, a ? maps.indexOf(a) : -1, b ? maps.indexOf(b) : -1);
    const other = this.found !== found;
    this.found = found;
    const told = whole.disagreement;
    this.apart.hidden = !told;
    if (!told || !other) return;
    const field = Field.of({ ...told, relu: false, signed: false, percentile: 100 }, told.geometry);
    const words =
      `The standard deviation over all ${maps.length} maps, each divided by its maximum: ` +
      `its maximum is ${told.map.peak.toFixed(2)} here, and 0.5 is possible.`;
    this.view.set(found.image, field, lookOf(this.page), words);
  }

  paint(): void {
    this.view.paint(lookOf(this.page));
  }
}
