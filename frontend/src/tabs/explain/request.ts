// The request that the view stands for.

import type { ExplainRequest } from "../../api/types";
import { mapsOneLayer, methodNamed, methodOfView, questionOf } from "../../state/app";
import { tabValue, view } from "../../state/view";

type Options = NonNullable<ExplainRequest["options"]>;

/** The request of the view; subscribes to it. */
export function requestOfView(target = view.target.value): ExplainRequest {
  const { image, model, layer, score } = view;
  const method = methodOfView();
  const body: ExplainRequest = {
    image: image.value,
    model: model.value,
    ...questionOf(),
    methods: [method],
    layers: mapsOneLayer(method) && layer.value ? [layer.value] : [],
    targets: target ? [target] : [],
    score: score.value as "logit",
  };
  const options = optionsOfView();
  return Object.keys(options).length ? { ...body, options } : body;
}

/** Options of the method that are not the default; JSON in the address. Those of another method do not count. */
export function optionsOfView(): Options {
  const known = methodNamed(methodOfView())?.options;
  try {
    const found: unknown = JSON.parse(tabValue("explain.options") || "{}");
    const entries = typeof found === "object" && found !== null ? Object.entries(found as Options) : [];
    return Object.fromEntries(entries.filter(([name]) => !known || name in known));
  } catch {
    return {};
  }
}
