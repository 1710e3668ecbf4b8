// The question that a view asks the server.

import type { ExplainRequest as Question } from "./api/types";
import { mapsOneLayer } from "./methods";
import type { Page } from "./page";
import type { View } from "./view";

type Options = NonNullable<Question["options"]>;

/** The question that a view asks. */
export function questionOf(page: Page, view: View): Question {
  const question: Question = {
    image: view.image,
    model: view.model,
    methods: [view.method],
    layers: mapsOneLayer(page, view.method) && view.layer ? [view.layer] : [],
    targets: view.target ? [view.target] : [],
    score: view.score as "logit",
  };
  const options = optionsOf(view);
  return Object.keys(options).length ? { ...question, options } : question;
}

/** The options of the method that are not left as they are: in the address as JSON. */
export function optionsOf(view: View): Options {
  try {
    const found: unknown = JSON.parse(view.more["look.options"] ?? "{}");
    return typeof found === "object" && found !== null ? (found as Options) : {};
  } catch {
    return {};
  }
}
