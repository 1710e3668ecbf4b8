// What the view asks: the question to the server, the class in it, the options in it.

import type { Question } from "../api";
import type { Page } from "../page";
import { fuses, isLayered } from "../parts/controls";
import type { View } from "../view";

type Options = NonNullable<Question["options"]>;

/** The question that a view asks. */
export function questionOf(page: Page, view: View): Question {
  const layered = isLayered(page, view.method) && !fuses(view.method);
  const question: Question = {
    picture: view.picture,
    model: view.model,
    methods: [view.method],
    layers: layered && view.layer ? [view.layer] : [],
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

/** What is asked about classes: why `one`, rather than `other`, or what speaks against it. null: the predicted class. */
export interface Aim {
  one: number | null;
  other: number | null;
  against: boolean;
}

/** Reads a target; null for one that was written by hand. */
export function aimOf(target: string): Aim | null {
  const found = /^(not )?(\d+|predicted)?(?: rather than (\d+))?$/.exec(target);
  if (!found) return null;
  const [, against, one, other] = found;
  return { one: one && one !== "predicted" ? Number(one) : null, other: other ? Number(other) : null, against: !!against };
}

export function targetOf({ one, other, against }: Aim): string {
  const name = one === null ? "predicted" : String(one);
  if (other !== null) return `${name} rather than ${other}`;
  if (against) return `not ${name}`;
  return one === null ? "" : name;
}
