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
    "What it marks",
    "",
    h("div", { class: "pair" }, marked(seen, told), still(blurred, "The same with that blurred out")),
    "What the network sees. Outlined is the fifth of it where the map is highest; beside it that fifth is blurred out.",
  );
}

function place(found: NonNullable<Verdict["position_test"]>): HTMLElement {
  const count = found.falls.length;
  const as = found.falls.filter((fall) => fall >= found.fall - 1e-6).length;
  return card(
    "Does the place matter?",
    `p = ${found.p.toFixed(3)}`,
    falls(
      found.falls,
      `The class falls by ${fixed(found.fall)} nats at the map's place and by ${fixed(found.elsewhere)} on average elsewhere`,
    ),
    `Grey: the same shape blurred out in ${count - 1} other places. The line should stand far to the right: ` +
      `${["no other place costs", "one other place costs"][as - 1] ?? `${as - 1} other places cost`} the class as much.`,
  );
}

function edge({ border: found }: Verdict): HTMLElement {
  return card(
    "Does the edge decide?",
    found.decides ? "yes" : "no",
    amounts(
      [
        { name: "the picture's edge blurred", value: found.edge, kind: found.decides ? "warned" : "others" },
        { name: "its middle blurred", value: found.middle, kind: "others" },
      ],
      `The class loses ${fixed(found.edge)} nats without the edge and ${fixed(found.middle)} without the middle`,
    ),
    "How much the class loses, in nats. Where the edge is the longer bar, look for a watermark or a caption. " +
      `${percent(found.marked)} of what the map marks lies in the edge.`,
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
    "Is it stable, and about this class?",
    "",
    dots(rows, told.min_correlation, words),
    "How like the map others are. Copies of the picture (dots) should give nearly the same map, above " +
      `${told.thresholds.min_stability}; most maps of other classes (squares) should lie left of the shaded band of the copies; ` +
      "that of a class much like this one may not.",
  );
}

const known = (list: Verdict["noise"]): number[] =>
  list.flatMap((one) => (one.correlation === null ? [] : [one.correlation]));

function certainty({ confidence: found }: Verdict): HTMLElement {
  return card(
    "Is the model sure?",
    found.guessing ? "it is guessing" : percent(found.probability),
    share(
      found.probability,
      found.probability - found.margin,
      `${percent(found.probability)}, ${percent(found.margin)} over the second class`,
    ),
    `Its likeliest class, and the second. It is as unsure as among ${found.perplexity.toFixed(1)} of ` +
      `${found.classes} equally likely classes. A map of a guess explains nothing.`,
  );
}
