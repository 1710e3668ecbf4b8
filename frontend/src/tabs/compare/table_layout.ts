// Cells along four axes, and their positions in a table.

import type { Cell } from "./results";

export const AXES = ["model", "method", "target", "layer"] as const;
export type Axis = (typeof AXES)[number];

export const keyOf = (cell: Cell): string => AXES.map((axis) => cell[axis] ?? "").join("|");

export interface Placed {
  cell: Cell;
  row: number;
  column: number;
  rows: number;
  columns: number;
  /** It is also further up. */
  again: boolean;
}

/** The values of a row along the axes that go down; null where they do not matter. */
type Row = (string | null)[];

export interface Layout {
  across: Axis;
  down: Axis[];
  columns: string[];
  rows: Row[];
  placed: Placed[];
}

/** The different values of an axis, in the order in which they were asked for. */
const valuesOf = (cells: readonly Cell[], axis: Axis): string[] => [...new Set(cells.flatMap((cell) => cell[axis] ?? []))];

/** The axes that tell cells apart. */
export function differing(cells: readonly Cell[]): Axis[] {
  const axes = AXES.filter((axis) => valuesOf(cells, axis).length > 1);
  return axes.length ? axes : ["method"];
}

/**
 * A table of all cells with a method. The axis with the most values is that of the columns, unless another one is
 * preferred. A cell without a value on an axis spans all positions that it is valid for.
 */
export function tableLayout(all: readonly Cell[], preferred: string): Layout {
  const cells = all.filter((cell) => cell.method);
  const axes = differing(cells);
  const most = axes.reduce((best, axis) => (valuesOf(cells, axis).length >= valuesOf(cells, best).length ? axis : best));
  const across = axes.find((axis) => axis === preferred) ?? most;
  const down = axes.filter((axis) => axis !== across);
  const columns = valuesOf(cells, across);
  const rows = rowsOf(cells, down);
  const taken = new Set<string>();
  const placed: Placed[] = [];
  for (const cell of cells) {
    const value = cell[across];
    const [column, wide] = value ? [columns.indexOf(value), 1] : [0, Math.max(1, columns.length)];
    let [last, again]: [Placed | null, boolean] = [null, false]; // it spans rows that follow each other
    for (const [row, values] of rows.entries()) {
      const fits = down.every((axis, d) => !cell[axis] || cell[axis] === values[d]) && !taken.has(`${row} ${column}`);
      if (!fits) last = null;
      else {
        if (last) last.rows++;
        else placed.push((last = { cell, row, column, rows: 1, columns: wide, again }));
        again = true;
        for (let i = 0; i < wide; i++) taken.add(`${row} ${column + i}`);
      }
    }
  }
  return { across, down, columns, rows, placed };
}

/** Rows in the order of their values; one with an open value is no row where others have that value. */
function rowsOf(cells: readonly Cell[], down: readonly Axis[]): Row[] {
  const orders = down.map((axis) => valuesOf(cells, axis));
  const different = new Map(cells.map((cell): [string, Row] => {
    const row = down.map((axis) => cell[axis] ?? null);
    return [JSON.stringify(row), row];
  }));
  const all = [...different.values()];
  const covers = (other: Row, row: Row): boolean =>
    other !== row && other.every((value, d) => (row[d] === null ? value !== null : value === row[d]));
  const position = (value: string | null, d: number): number => (value === null ? -1 : orders[d]!.indexOf(value));
  return all
    .filter((row) => !row.includes(null) || !all.some((other) => covers(other, row)))
    .sort((a, b) => a.map((value, d) => position(value, d) - position(b[d]!, d)).find((step) => step !== 0) ?? 0);
}

/** What begins in a row: cells, and null where there is nothing. */
export function cellsOf({ placed, columns }: Layout, row: number): { column: number; placed: Placed | null }[] {
  return columns.flatMap((_, column): { column: number; placed: Placed | null }[] => {
    const covers = (one: Placed): boolean =>
      one.row <= row && row < one.row + one.rows && one.column <= column && column < one.column + one.columns;
    const here = placed.find(covers) ?? null;
    return here && (here.row !== row || here.column !== column) ? [] : [{ column, placed: here }];
  });
}
