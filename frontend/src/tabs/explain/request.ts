// The request that the view stands for.

import type { ExplainRequest } from "../../api/types";
import { mapsOneLayer } from "../../state/app";
import { tabValue, view } from "../../state/view";

type Options = NonNullable<ExplainRequest["options"]>;

/** The request of the view; subscribes to it. */
export function requestOfView(target = view.target.value): ExplainRequest {
  const { image, model, method, layer, score } = view;
  const body: ExplainRequest = {
    image: image.value,
    model: model.value,
    methods: [method.value],
    layers: mapsOneLayer(method.value) && layer.value ? [layer.value] : [],
    targets: target ? [target] : [],
    score: score.value as "logit",
  };
  const options = optionsOfView();
  return Object.keys(options).length ? { ...body, options } : body;
}

/** Options of the method that are not the default; JSON in the address. */
export function optionsOfView(): Options {
  try {
    const found: unknown = JSON.parse(tabValue("explain.options") || "{}");
    return typeof found === "object" && found !== null ? (found as Options) : {};
  } catch {
    return {};
  }
}
