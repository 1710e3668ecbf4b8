// The numbers behind a verdict: a card for each question, with its little plot and how to read it.

import { h } from "../../dom";
import { fixed, percent } from "../../numbers";
import { amounts, dots, importances, share } from "./figures";
import { marked, still } from "./stills";
import type { Verdict } from "./wire";

/** Every card for which something was measured. */
export function cards(told: Verdict, seen: HTMLImageElement, blurred: HTMLImageElement): HTMLElement[] {
  const made = [edge(told), certainty(told)];
  if (told.position_test) made.unshift(marks(told, seen, blurred), place(told.position_test));
  const alike = likeness(told);
  if (alike) made.splice(-1, 0, alike);
  return made;
}

function card(title: string, answer: string, figure: Element, words: string): HTMLElement {
  return h(
    "section",
    { class: figure.classList.contains("pair") ? "card wide" : "card" },
    h("h3", {}, title, answer && h("span", { class: "answer" }, answer)),
    figure,
    h("p", { class: "note" }, words),
  );
}

function marks(told: Verdict, seen: HTMLImageElement, blurred: HTMLImageElement): HTMLElement {
  return card(
    "Highlighted region",
    "",
    h("div", { class: "pair" }, marked(seen, told), still(blurred, "The input with that region blurred")),
    "The network input. Left: the 20 % with the highest map values, outlined. Right: the input with that region blurred.",
  );
}

function place(found: NonNullable<Verdict["position_test"]>): HTMLElement {
  const count = found.statistics.length;
  const as = Math.round(found.p * count);
  return card(
    "Position test",
    `p = ${found.p_text}`,
    importances(
      found.statistics,
      `Mean importance of the positions where the map is high: ${fixed(found.statistics[0]!)} standard deviations; p = ${found.p_text}`,
    ),
    `How much the class depends on the positions where the map is high (line), compared with ` +
      `${count - 1} shifted, mirrored and rotated copies of the map (grey): ` +
      `${["no copy has", "one copy has"][as - 1] ?? `${as - 1} copies have`} a value as large. ` +
      `When the highlighted region is blurred, the log-probability drops by ${fixed(found.drop)} nats, ` +
      `for discs of the same area by ${fixed(found.mean_drop_elsewhere)} nats on average.`,
  );
}

function edge({ border_test: found }: Verdict): HTMLElement {
  return card(
    "Border test",
    found.decides ? "the border decides" : "passed",
    amounts(
      [
        { name: "border of the image blurred", value: found.border, kind: found.decides ? "warned" : "others" },
        { name: "middle of the image blurred", value: found.middle, kind: "others" },
      ],
      `Drop in the log-probability: ${fixed(found.border)} nats with the border blurred, ${fixed(found.middle)} nats with the middle blurred`,
    ),
    "Drop in the log-probability, in nats. If the drop for the border is larger, look for a watermark or a caption. " +
      `${percent(found.map_fraction)} of the map lies in the border.`,
  );
}

function likeness(told: Verdict): HTMLElement | null {
  const rows = [
    { name: "noisy copies", values: known(told.noise), kind: "copy" },
    { name: "shifted copies", values: known(told.shifts), kind: "copy" },
    { name: "other classes", values: known(told.classes), kind: "class" },
  ];
  if (!rows.some((row) => row.values.length)) return null;
  const words = rows.map((row) => `${row.name}: ${row.values.map((value) => fixed(value)).join(", ")}`).join("; ");
  return card(
    "Stability and class-specificity",
    "",
    dots(rows, told.min_correlation, words),
    "Rank correlation of the map with other maps. Perturbed copies of the image (dots) should yield nearly the same map, above " +
      `${told.thresholds.min_stability}; maps of other classes (squares) should be less similar than those of the copies (shaded band), ` +
      "except for classes that resemble this one.",
  );
}

const known = (list: Verdict["noise"]): number[] =>
  list.flatMap((one) => (one.correlation === null ? [] : [one.correlation]));

function certainty({ confidence: found }: Verdict): HTMLElement {
  return card(
    "Confidence",
    found.guessing ? "counts as a guess" : percent(found.probability),
    share(
      found.probability,
      found.probability - found.margin,
      `${percent(found.probability)}, ${percent(found.margin)} more than the second class`,
    ),
    `The probabilities of the predicted and of the second class. The perplexity is ${found.perplexity.toFixed(1)} of ` +
      `${found.classes} classes. The map of a guess is not meaningful.`,
  );
}
