// The numbers behind a verdict: a card for each question, with its little plot and how to read it.

import { h } from "../../dom";
import { fixed, percent } from "../../numbers";
import { amounts, dots, falls, share } from "./figures";
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
  const count = found.drops.length;
  const as = found.drops.filter((fall) => fall >= found.drop - 1e-6).length;
  return card(
    "Position test",
    `p = ${found.p.toFixed(3)}`,
    falls(
      found.drops,
      `Drop in the log-probability of the class: ${fixed(found.drop)} nats at the highlighted region, ${fixed(found.mean_drop_elsewhere)} nats on average at other positions`,
    ),
    `Drop in the log-probability when the highlighted region is blurred (line), compared with the same shape at ` +
      `${count - 1} other positions (grey): ` +
      `${["no other position has", "one other position has"][as - 1] ?? `${as - 1} other positions have`} a drop as large.`,
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
