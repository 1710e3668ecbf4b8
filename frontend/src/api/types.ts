// The schemas of the API by short names. They come from its OpenAPI description (npm run types); those of a single tab
// are in its schemas.ts.

import type { components } from "../schema";

export type Schemas = components["schemas"];
export type Start = Schemas["Start"];
export type ModelChoice = Schemas["ModelChoice"];
export type MethodChoice = Schemas["MethodChoice"];
export type MethodCost = Schemas["MethodCostOut"];
export type LayerChoice = ModelChoice["layers"][number];
export type LayerOut = Schemas["LayerOut"];
export type ImageInfo = Schemas["ImageInfo"];
export type Samples = Schemas["Samples"];
export type ExplainRequest = Partial<Schemas["ExplainRequest"]>;
export type ExplainResponse = Schemas["ExplainResponse"];
export type MapOut = Schemas["MapOut"];
export type EncodedMap = Schemas["EncodedMap"];
export type Geometry = Schemas["GeometryOut"];
export type Prediction = Schemas["PredictionOut"];
