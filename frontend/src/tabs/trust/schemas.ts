// The schemas of this tab's routes.

import type { MapOut, Schemas } from "../../api/types";
import type { ExplainResponse } from "../../api/types";
import type { Field } from "../../maps/field";

export type MapRequest = Partial<Schemas["MapRequest"]> & { image: string };
export type ClassChange = Schemas["ClassChange"];
export type Verdict = Schemas["Verdict"];
export type CurvesResponse = Schemas["CurvesResponse"];
export type CurveLine = Schemas["CurveLine"];
export type CurveSteps = Schemas["CurveSteps"];
export type OccludeResponse = Schemas["OccludeResponse"];
export type PerturbResponse = Schemas["PerturbResponse"];

/** The tested map. */
export interface Subject {
  /** The fields that every request of this tab contains. */
  request: MapRequest;
  key: string;
  image: HTMLImageElement;
  answer: ExplainResponse;
  map: MapOut;
  field: Field;
  /** Whether the method runs the network so often that nobody should wait for it unasked. */
  slow: boolean;
}
