// Cells along four axes, and their positions in a table.

import type { Cell } from "./schemas";

export const AXES = ["model", "method", "target", "layer"] as const;
export type Axis = (typeof AXES)[number];

/** The key of a cell in links. */
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

export interface Layout {
  across: Axis;
  down: Axis[];
  columns: string[];
  /** A row's values along the axes that go down; null where they do not matter. */
  rows: (string | null)[][];
  placed: Placed[];
}

/** The different values of an axis, in the order in which they were asked for. */
export function valuesOf(cells: readonly Cell[], axis: Axis): string[] {
  return [...new Set(cells.map((cell) => cell[axis]).filter((value): value is string => value !== null && value !== undefined))];
}

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
    const fits = rows.flatMap((row, i) =>
      down.every((axis, d) => !cell[axis] || cell[axis] === row[d]) && !taken.has(`${i} ${column}`) ? [i] : [],
    );
    let again = false;
    for (const run of runs(fits)) {
      placed.push({ cell, row: run[0]!, column, rows: run.length, columns: wide, again });
      for (const row of run) for (let i = 0; i < wide; i++) taken.add(`${row} ${column + i}`);
      again = true;
    }
  }
  return { across, down, columns, rows, placed };
}

/** Rows in the order of their values; one with an open value is no row where others have that value. */
function rowsOf(cells: readonly Cell[], down: Axis[]): (string | null)[][] {
  const orders = down.map((axis) => valuesOf(cells, axis));
  const different = new Map<string, (string | null)[]>();
  for (const cell of cells) {
    const row = down.map((axis) => cell[axis] ?? null);
    different.set(JSON.stringify(row), row);
  }
  const all = [...different.values()];
  const covered = (row: (string | null)[]): boolean =>
    row.includes(null) &&
    all.some((other) => other !== row && other.every((value, d) => (row[d] === null ? value !== null : value === row[d])));
  const place = (row: (string | null)[]): number[] => row.map((value, d) => (value === null ? -1 : orders[d]!.indexOf(value)));
  return all
    .filter((row) => !covered(row))
    .sort((one, other) => {
      const [a, b] = [place(one), place(other)];
      const first = a.findIndex((value, d) => value !== b[d]);
      return first < 0 ? 0 : a[first]! - b[first]!;
    });
}

/** Numbers in runs without a gap. */
function runs(numbers: number[]): number[][] {
  const made: number[][] = [];
  for (const number of numbers) {
    const last = made[made.length - 1];
    if (last && last[last.length - 1] === number - 1) last.push(number);
    else made.push([number]);
  }
  return made;
}
