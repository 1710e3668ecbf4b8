// The results of a comparison so far: cells that are pending, cells with maps, at the end all of them.

import type { Schemas } from "../../api/types";
import { Field } from "../../maps/field";
import type { Selection } from "./selection";
import { keyOf } from "./table_layout";

export type Cell = Schemas["Cell"];
export type ModelResult = Schemas["ModelResult"];
export type Comparison = Schemas["Comparison"];

/** What is sent before the maps of a model. */
export interface Expected {
  result: ModelResult;
  cells: Cell[];
}

/** Stands for the default layer of every model, where no layer was selected. */
export const DEFAULT = "default layer";

export class Results {
  models: ModelResult[] = [];
  cells: Cell[] = [];
  whole: Comparison | null = null;
  private readonly fields = new Map<string, Field>();

  constructor(
    readonly selection: Selection,
    readonly image: HTMLImageElement,
  ) {}

  /** The prediction of a model, and its pending cells. */
  expect({ result, cells }: Expected): void {
    this.models.push(result);
    this.cells.push(...this.atDefaultLayer(cells));
  }

  /** Cells that have arrived, in place of the pending ones. */
  arrive(cells: readonly Cell[]): void {
    const isPending = (cell: Cell): boolean =>
      !cell.map && !cell.error && cells.some((one) => one.model === cell.model && one.method === cell.method);
    const at = this.cells.findIndex(isPending);
    const rest = this.cells.filter((cell) => !isPending(cell));
    this.cells = rest.toSpliced(at < 0 ? rest.length : at, 0, ...this.atDefaultLayer(cells));
  }

  finish(whole: Comparison): void {
    this.models = whole.models;
    this.cells = this.atDefaultLayer(whole.cells);
    this.whole = whole;
  }

  get withMap(): Cell[] {
    return this.cells.filter((cell) => cell.map);
  }

  field(cell: Cell): Field {
    const key = keyOf(cell);
    const { geometry } = this.models.find((one) => one.model === cell.model)!;
    if (!this.fields.has(key)) this.fields.set(key, Field.of(cell.map!, geometry));
    return this.fields.get(key)!;
  }

  /** Groups of maps in one unit: of one model, method and layer. They can share a scale. */
  get comparable(): Cell[][] {
    const unitOf = (cell: Cell): string => `${cell.model}|${cell.method}|${cell.layer}`;
    const units = [...new Set(this.withMap.map(unitOf))];
    return units.map((unit) => this.withMap.filter((cell) => unitOf(cell) === unit)).filter((group) => group.length > 1);
  }

  /** The maps as they are drawn: each on its own scale, or those in one unit on one. */
  fieldsFor(shared: boolean): Map<string, Field> {
    const made = new Map(this.withMap.map((cell) => [keyOf(cell), this.field(cell)]));
    for (const group of shared ? this.comparable : []) {
      const fields = group.map((cell) => this.field(cell));
      const top = Math.max(...fields.map((field) => field.top));
      const signs = fields.some((field) => field.showsSigns);
      group.forEach((cell, i) => made.set(keyOf(cell), fields[i]!.scaledTo(top, signs)));
    }
    return made;
  }

  /** How strong a map is beside the strongest one in its unit, as a fraction; null if it is the only one. */
  strength(cell: Cell): number | null {
    const group = this.comparable.find((cells) => cells.includes(cell));
    const largest = Math.max(...(group ?? []).map((one) => this.field(one).top));
    return largest > 0 ? this.field(cell).top / largest : null;
  }

  /** Where no layer was selected, the default layers of all models are one. */
  private atDefaultLayer(cells: readonly Cell[]): Cell[] {
    const isDefault = (cell: Cell): unknown => !this.selection.layers.length && cell.layer && cell.method;
    return cells.map((cell) => (isDefault(cell) ? { ...cell, layer: DEFAULT } : cell));
  }
}
