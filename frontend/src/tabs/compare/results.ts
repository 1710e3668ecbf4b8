// The results of a comparison so far: cells that are pending, cells with maps, at the end all of them.

import { Field } from "../../maps/field";
import { keyOf } from "./table_layout";
import { ScaledField } from "./shared_scale";
import type { Cell, Comparison, Expected, ModelResult } from "./schemas";
import type { Selection } from "./selection";

/** Stands for the default layer of every model, where no layer was selected. */
export const DEFAULT = "default layer";

export class Results {
  models: ModelResult[] = [];
  cells: Cell[] = [];
  whole: Comparison | null = null;
  /** Stopped before the end. */
  stopped = false;
  private readonly fields = new Map<string, Field>();

  constructor(
    readonly selection: Selection,
    readonly image: HTMLImageElement,
  ) {}

  /** The prediction of a model, and its pending cells. */
  expect({ result, cells }: Expected): void {
    this.models.push(result);
    this.cells.push(...cells.map((cell) => this.atDefaultLayer(cell)));
  }

  /** Cells that have arrived, in place of the pending ones. */
  arrive(cells: readonly Cell[]): void {
    const isPending = (cell: Cell): boolean =>
      !cell.map && !cell.error && cells.some((one) => one.model === cell.model && one.method === cell.method);
    const at = this.cells.findIndex(isPending);
    const rest = this.cells.filter((cell) => !isPending(cell));
    rest.splice(at < 0 ? rest.length : at, 0, ...cells.map((cell) => this.atDefaultLayer(cell)));
    this.cells = rest;
  }

  finish(whole: Comparison): void {
    this.models = whole.models;
    this.cells = whole.cells.map((cell) => this.atDefaultLayer(cell));
    this.whole = whole;
  }

  /** The cells that have a map. */
  get withMap(): Cell[] {
    return this.cells.filter((cell) => cell.map);
  }

  field(cell: Cell): Field {
    const key = keyOf(cell);
    const known = this.fields.get(key);
    if (known) return known;
    const made = Field.of(cell.map!, this.models.find((one) => one.model === cell.model)!.geometry);
    this.fields.set(key, made);
    return made;
  }

  /** Groups of maps in one unit: of one model, method and layer. They can share a scale. */
  get comparable(): Cell[][] {
    const groups = new Map<string, Cell[]>();
    for (const cell of this.withMap) {
      const unit = `${cell.model}|${cell.method}|${cell.layer}`;
      groups.set(unit, [...(groups.get(unit) ?? []), cell]);
    }
    return [...groups.values()].filter((group) => group.length > 1);
  }

  /** The maps as they are drawn: each on its own scale, or those in one unit on one. */
  fieldsFor(shared: boolean): Map<string, Field> {
    const made = new Map(this.withMap.map((cell) => [keyOf(cell), this.field(cell)]));
    if (!shared) return made;
    for (const group of this.comparable) {
      const theirs = group.map((cell) => this.field(cell));
      const top = Math.max(...theirs.map((field) => field.top));
      const signs = theirs.some((field) => field.showsSigns);
      group.forEach((cell, i) => made.set(keyOf(cell), new ScaledField(theirs[i]!, top, signs)));
    }
    return made;
  }

  /** Where no layer was selected, the default layers of all models are one. */
  private atDefaultLayer(cell: Cell): Cell {
    return this.selection.layers.length || !cell.layer || !cell.method ? cell : { ...cell, layer: DEFAULT };
  }

  /** How strong a map is beside the strongest one in its unit, as a fraction; null if it is the only one. */
  strength(cell: Cell): number | null {
    const group = this.comparable.find((cells) => cells.includes(cell));
    if (!group) return null;
    const largest = Math.max(...group.map((one) => this.field(one).top));
    return largest > 0 ? this.field(cell).top / largest : null;
  }
}
