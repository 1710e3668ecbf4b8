// What has to be known of a map besides its colours, in sentences.

import type { Answer } from "../../api/types";
import { h } from "../../dom";
import { chance, short, sized } from "../../numbers";
import type { Page } from "../../page";
import type { HeatView } from "../../parts/heat";
import { fieldOf } from "./fields";

const MEANINGS: Record<string, (value: string) => string> = {
  completeness_gap: (value) => `The sum of all attributions differs from the score by ${value}.`,
  baseline_score: (value) => `The score of the baseline is ${value}.`,
  masked_score: (value) => `The score with only the highlighted region visible is ${value}.`,
  standard_error: (value) => `The standard error of a map value, from the number of random samples, is ${value}.`,
  noise: (value) => `The error is ${value} of the standard deviation of the map; more samples reduce it.`,
  r2: (value) => `R² of the linear surrogate model is ${value}.`,
};

/** What the network takes the picture for, and whether that is so. */
export function headline(answer: Answer): HTMLElement {
  const best = answer.predictions[0]!;
  const right = answer.label_index === null ? null : best.index === answer.label_index;
  return h(
    "p",
    { class: "headline" },
    h("b", {}, best.name),
    ` ${chance(best)}`,
    answer.label !== null && h("span", { class: "soft" }, ` · true class: ${answer.label} `),
    right !== null && h("span", { class: right ? "right" : "wrong" }, right ? "✓ correct" : "✗ wrong"),
    answer.label !== null && right === null && h("span", { class: "soft" }, "(not a class of this model)"),
  );
}

/** The score with its unit, how fine the map really is, what the method reported. */
export function notes(page: Page, answer: Answer): HTMLElement {
  const made = answer.maps[0]!;
  const { height, width } = made.map;
  const known = page.start.methods.find((one) => one.name === made.method);
  const layered = made.layer !== "input";
  const sentences = [
    made.remark && h("b", {}, made.remark),
    known?.class_free && "This method gives the same map for every class.",
    layered && `The map has ${sized([height, width])} values; the display interpolates between them.`,
    fieldOf(answer).showsSigns && "Positive and negative evidence are displayed.",
    made.percentile < 100 && `The display saturates at the ${made.percentile}th percentile of the absolute values.`,
    ...Object.entries(made.notes).map(([name, value]) => MEANINGS[name]?.(short(value)) ?? `${name}: ${short(value)}`),
  ];
  return h(
    "div",
    { class: "notes" },
    h(
      "p",
      { class: "what" },
      h("b", {}, made.target),
      h("span", { class: "soft" }, ` ${made.score_kind.replace("_", " ")} ${short(made.score)}`),
      h("span", { class: "soft" }, ` · ${made.method} · ${made.layer} · ${sized([height, width])} · ${made.model}`),
    ),
    h("ul", { class: "note" }, ...sentences.filter(Boolean).map((sentence) => h("li", {}, sentence))),
  );
}

/** What each view shows. */
export function captions(answer: Answer): Record<HeatView["kind"], string> {
  const made = answer.maps[0]!;
  return {
    photo: answer.name,
    heat: `map, ${sized([made.map.height, made.map.width])}`,
    overlay: `${made.target} · ${made.method} · ${made.layer}`,
  };
}
