// A few choices side by side, one of them taken: parts of a tab, ways to show something. One stop of the Tab key; the
// arrows go from one to the next.

import { fresh, h } from "../dom";
import { roving, stop } from "./roving";

export interface Segments {
  element: HTMLElement;
  set(value: string): void;
}

export type Segment = readonly [value: string, text: string];

/** `visible`: the label stands above them. */
export function segments(
  label: string,
  list: readonly Segment[],
  choose: (value: string) => void,
  visible = false,
): Segments {
  const id = fresh("segments");
  const buttons = list.map(([value, text]) => h("button", { "data-value": value, onclick: () => choose(value) }, text));
  const name = visible ? { "aria-labelledby": id } : { "aria-label": label };
  const bar = h("div", { class: "segments", role: "toolbar", ...name }, ...buttons);
  roving(bar, "button");
  stop(bar, "button");
  return {
    element: visible ? h("div", { class: "field" }, h("span", { class: "label", id }, label), bar) : bar,
    set(value) {
      const taken = buttons.find((_, i) => list[i]![0] === value);
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === taken));
      if (!bar.contains(document.activeElement)) stop(bar, "button", taken ?? null);
    },
  };
}
