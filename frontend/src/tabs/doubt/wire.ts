// What the server says to this tab.

import type { Schemas } from "../../api/types";

export type Doubt = Partial<Schemas["MapRequest"]> & { image: string };
export type Stand = Schemas["ClassChange"];
export type Verdict = Schemas["Verdict"];
export type WalkCurves = Schemas["CurvesResponse"];
export type CurveLine = Schemas["CurveLine"];
export type Walked = Schemas["CurveSteps"];
export type Covered = Schemas["OccludeResponse"];
export type Varied = Schemas["PerturbResponse"];
