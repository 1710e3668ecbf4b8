// The schemas of this tab's route.

import type { Schemas } from "../../api/types";

export type Cell = Schemas["Cell"];
export type ModelResult = Schemas["ModelResult"];
export type Comparison = Schemas["Comparison"];

/** What is sent before the maps of a model. */
export interface Expected {
  result: ModelResult;
  cells: Cell[];
}
