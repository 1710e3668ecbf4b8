// Most probable classes as bars; each explains its class.

import type { Prediction } from "../api/types";
import { h } from "../dom";
import { chance } from "../numbers";

/** Classes that are marked besides the chosen one, by their index: the true one, and the one it is set against. */
export interface Marks {
  truth?: number | null;
  rival?: number | null;
}

export function bars(
  guesses: readonly Prediction[],
  chosen: number | null,
  choose: (index: number) => void,
  marks: Marks = {},
): HTMLElement {
  return h(
    "div",
    { class: "bars", role: "group", "aria-label": "Most probable classes" },
    ...guesses.map((guess) => {
      const bar = h("span", { class: "bar" });
      bar.style.width = `${Math.max(0.5, 100 * (guess.probability ?? 0))}%`;
      return h(
        "button",
        {
          class: "guess",
          "aria-pressed": String(guess.index === chosen),
          title: `logit ${guess.logit.toPrecision(3)}`,
          onclick: () => choose(guess.index),
        },
        bar,
        h("span", { class: "name" }, guess.name),
        guess.index === marks.truth && h("span", { class: "mark" }, "true class"),
        guess.index === marks.rival && h("span", { class: "mark" }, "rather than"),
        h("span", { class: "number" }, chance(guess)),
      );
    }),
  );
}
