// What the server says to this tab.

import type { Schemas } from "../../api/types";

export type Cell = Schemas["Cell"];
export type Opinion = Schemas["ModelResult"];
export type Comparison = Schemas["Comparison"];

/** What is sent before the maps of a model. */
export interface Expected {
  result: Opinion;
  cells: Cell[];
}
