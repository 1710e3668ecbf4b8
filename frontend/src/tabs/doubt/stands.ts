// Classes before and after, as pairs of bars; and what to say about the one in question.

import { fill, h } from "../../dom";
import { percent } from "../../numbers";
import type { Stand } from "./wire";

/** At most so many classes are shown. */
const SHOWN = 6;

export function stands(list: readonly Stand[], target: number): HTMLElement {
  return h(
    "ul",
    { class: "stands", "aria-label": "Probability of the classes, before and after" },
    ...list.slice(0, SHOWN).map((one) => {
      const [before, after] = [bar("before", one.before), bar("after", one.after)];
      const change = one.after - one.before;
      const arrow = Math.abs(change) < 0.005 ? "→" : change > 0 ? "↑" : "↓";
      return h(
        "li",
        { class: one.index === target ? "target" : "" },
        h("span", { class: "name" }, one.name),
        h("span", { class: "number" }, percent(one.before), ` ${arrow} `, h("b", {}, percent(one.after))),
        h("span", { class: "track", "aria-hidden": "true" }, before, after),
      );
    }),
  );
}

function bar(kind: string, share: number): HTMLElement {
  const made = h("span", { class: kind });
  made.style.width = `${Math.max(0.3, 100 * share)}%`;
  return made;
}

/** "cat 97 % → 12 %". */
export const change = (one: Stand): string => `${one.name} ${percent(one.before)} → ${percent(one.after)}`;

/** What a fall from one probability to another says about what was covered. */
export function meaning(one: Stand): string {
  if (one.after > one.before + 0.05) return "the model is more confident without the occluded region.";
  const left = one.after / Math.max(one.before, 1e-9);
  if (left < 0.5) return "the occluded region is important.";
  if (left < 0.9) return "the occluded region has some influence.";
  return "the occluded region has hardly any influence.";
}

/** A line of text that is read out when it changes. */
export function told(): { element: HTMLElement; say(text: string): void } {
  const element = h("p", { class: "outcome", "aria-live": "polite" });
  return { element, say: (text) => fill(element, text.replaceAll(" %", "\u00a0%")) };
}
