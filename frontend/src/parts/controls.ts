// Labelled fields: a choice, a slider, anything.

import { fill, fresh, h } from "../dom";

/** A labelled field. */
export function field(label: string, control: HTMLElement, note?: HTMLElement): HTMLElement {
  control.id ||= fresh("field");
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/** A box to be ticked, and what it is about. */
export function check(text: string, box: HTMLInputElement): HTMLElement {
  return h("label", { class: "check" }, box, h("span", {}, text));
}

export interface Slider {
  element: HTMLElement;
  input: HTMLInputElement;
  set(value: number): void;
}

export function slider(
  label: string,
  range: { min: number; max: number; step: number },
  change: (value: number) => void,
  tell: (value: number) => string,
): Slider {
  const input = h("input", { type: "range", ...range });
  const output = h("output");
  const say = (): void => {
    output.textContent = tell(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  input.addEventListener("input", () => {
    say();
    change(Number(input.value));
  });
  const element = field(label, input, output);
  element.classList.add("slider");
  return {
    element,
    input,
    set(value) {
      input.value = String(value);
      say();
    },
  };
}

export interface Option {
  value: string;
  text: string;
  group?: string;
}

export interface Choice {
  element: HTMLElement;
  select: HTMLSelectElement;
  /** Other options: value and words, in groups if the words say one. */
  options(list: readonly Option[], chosen: string): void;
}

export function choice(label: string, change: (value: string) => void): Choice {
  const select = h("select");
  select.addEventListener("change", () => change(select.value));
  return {
    element: field(label, select),
    select,
    options(list, chosen) {
      fill(select, ...shelved(list));
      select.value = chosen;
    },
  };
}

/** Options as elements, those of one group together. */
export function shelved(list: readonly Option[]): HTMLElement[] {
  const groups = new Map<string, HTMLElement>();
  const made: HTMLElement[] = [];
  for (const { value, text, group } of list) {
    const option = h("option", { value }, text);
    if (!group) made.push(option);
    else if (groups.has(group)) groups.get(group)!.append(option);
    else {
      const shelf = h("optgroup", { label: group }, option);
      groups.set(group, shelf);
      made.push(shelf);
    }
  }
  return made;
}
