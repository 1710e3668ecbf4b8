// What the server says and is asked, by name. Types come from its OpenAPI description (npm run types); those of a single
// tab stand in its own wire.ts.

import type { components } from "../schema";

export type Schemas = components["schemas"];
export type Start = Schemas["Start"];
export type ModelChoice = Schemas["ModelChoice"];
export type MethodChoice = Schemas["MethodChoice"];
export type LayerChoice = ModelChoice["layers"][number];
export type PictureInfo = Schemas["ImageInfo"];
export type Samples = Schemas["Samples"];
export type Question = Partial<Schemas["ExplainRequest"]>;
export type Answer = Schemas["ExplainResponse"];
export type Explained = Schemas["MapOut"];
export type Packed = Schemas["EncodedMap"];
export type Place = Schemas["GeometryOut"];
export type Guess = Schemas["PredictionOut"];
