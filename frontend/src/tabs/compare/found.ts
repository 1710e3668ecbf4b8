// What has come of a question so far: cells that are awaited, cells with maps, in the end all of it.

import { Field } from "../../maps/field";
import { keyOf } from "./cells";
import { Scaled } from "./scaled";
import type { Cell, Comparison, Expected, Opinion } from "./wire";
import type { Wish } from "./wish";

/** Stands for every model's own, where no layer was named. */
export const DEFAULT = "default layer";

export class Found {
  opinions: Opinion[] = [];
  cells: Cell[] = [];
  whole: Comparison | null = null;
  /** Stopped before the end. */
  stopped = false;
  private readonly fields = new Map<string, Field>();

  constructor(
    readonly wish: Wish,
    readonly image: HTMLImageElement,
  ) {}

  /** A model's opinion, and what will come of it. */
  expect({ result: opinion, cells }: Expected): void {
    this.opinions.push(opinion);
    this.cells.push(...cells.map((cell) => this.placed(cell)));
  }

  /** Cells that have come, in place of those that were awaited. */
  arrive(cells: readonly Cell[]): void {
    const awaited = (cell: Cell): boolean =>
      !cell.map && !cell.error && cells.some((one) => one.model === cell.model && one.method === cell.method);
    const at = this.cells.findIndex(awaited);
    const rest = this.cells.filter((cell) => !awaited(cell));
    rest.splice(at < 0 ? rest.length : at, 0, ...cells.map((cell) => this.placed(cell)));
    this.cells = rest;
  }

  finish(whole: Comparison): void {
    this.opinions = whole.models;
    this.cells = whole.cells.map((cell) => this.placed(cell));
    this.whole = whole;
  }

  /** The cells that have a map. */
  get pictured(): Cell[] {
    return this.cells.filter((cell) => cell.map);
  }

  field(cell: Cell): Field {
    const key = keyOf(cell);
    const known = this.fields.get(key);
    if (known) return known;
    const made = Field.of(cell.map!, this.opinions.find((one) => one.model === cell.model)!.geometry);
    this.fields.set(key, made);
    return made;
  }

  /** Maps in one unit, where there are several: they can share a scale. */
  get alike(): Cell[][] {
    const groups = new Map<string, Cell[]>();
    for (const cell of this.pictured) {
      const unit = `${cell.model}|${cell.method}|${cell.layer}`;
      groups.set(unit, [...(groups.get(unit) ?? []), cell]);
    }
    return [...groups.values()].filter((group) => group.length > 1);
  }

  /** The maps as they are painted: each on its own scale, or those in one unit on one. */
  painted(shared: boolean): Map<string, Field> {
    const made = new Map(this.pictured.map((cell) => [keyOf(cell), this.field(cell)]));
    if (!shared) return made;
    for (const group of this.alike) {
      const theirs = group.map((cell) => this.field(cell));
      const top = Math.max(...theirs.map((field) => field.top));
      const signs = theirs.some((field) => field.showsSigns);
      group.forEach((cell, i) => made.set(keyOf(cell), new Scaled(theirs[i]!, top, signs)));
    }
    return made;
  }

  /** Where nobody named a layer, all models' own ones are one place. */
  private placed(cell: Cell): Cell {
    return this.wish.layers.length || !cell.layer || !cell.method ? cell : { ...cell, layer: DEFAULT };
  }
}
