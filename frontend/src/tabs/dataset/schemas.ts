// The schemas of this tab's routes, and their URLs.

import type { Schemas } from "../../api/types";

export type RunInfo = Schemas["RunInfo"];
export type RunList = Schemas["RunList"];
export type Kind = RunInfo["kinds"][number];
export type Points = Schemas["Points"];
export type Neighbours = Schemas["Neighbours"];
export type Overall = Schemas["Overall"];
export type Matrix = Schemas["MatrixOut"];
export type RowPrediction = Schemas["RowPrediction"];
export type RowPredictionList = Schemas["RowPredictionList"];
export type Evaluation = Schemas["EvaluationOut"];
export type Curves = Schemas["Curves"];
export type Subset = Schemas["SubsetOut"];
export type SubsetRequest = Schemas["SubsetRequest"];
export type SliceList = Schemas["SliceList"];
export type Range = Schemas["Range"];

/** The URL of a request about a run. */
export function query(path: string, values: Record<string, string | number | boolean | null>): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== null) asked.set(name, String(value));
  return `/api/dataset/${path}?${asked}`;
}
