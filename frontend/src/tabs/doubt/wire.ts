// What the server says to this tab.

import type { Schemas } from "../../api/types";

export type Doubt = Partial<Schemas["MapRequest"]> & { picture: string };
export type Stand = Schemas["ClassChange"];
export type Verdict = Schemas["Verdict"];
export type WalkCurves = Schemas["WalkCurves"];
export type CurveLine = Schemas["CurveLine"];
export type Walked = Schemas["CurveSteps"];
export type Covered = Schemas["Covered"];
export type Varied = Schemas["Varied"];
