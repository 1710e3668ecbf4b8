// The schemas of this tab's routes, and their URLs.

import type { Schemas } from "../../api/types";

export type RunInfo = Schemas["RunInfo"];
export type RunList = Schemas["RunList"];
export type Points = Schemas["Points"];
export type Overall = Schemas["Overall"];
export type Matrix = Schemas["MatrixOut"];
export type RowPrediction = Schemas["RowPrediction"];
export type RowPredictionList = Schemas["RowPredictionList"];
export type Subset = Schemas["SubsetOut"];
export type Range = Schemas["Range"];

/** The URL of a request; values that are null are left out. */
export function query(path: string, values: Record<string, string | number | boolean | null>): string {
  const given = Object.entries(values).flatMap(([name, value]) => (value === null ? [] : [[name, String(value)]]));
  return `/api/dataset/${path}?${new URLSearchParams(given)}`;
}

/** Images that could not be processed, as text. */
export const failureTexts = (failures: readonly Schemas["Failed"][]): string[] => failures.map(({ name, reason }) => `${name}: ${reason}`);
