// Fields that several tabs share: a choice, a slider, a switch; model, method, layer and class.

import type { MethodChoice } from "../api";
import { fill, fresh, h } from "../dom";
import { modelOf, type Page } from "../page";

/** A labelled field. */
export function field(label: string, control: HTMLElement, note?: HTMLElement): HTMLElement {
  control.id ||= fresh("field");
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
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
  tell: (value: number) => string = (value) => value.toFixed(2),
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

export interface Choice {
  element: HTMLElement;
  select: HTMLSelectElement;
  /** Other options: value and words, in groups if the words say one. */
  options(list: { value: string; text: string; group?: string }[], chosen: string): void;
}

export function choice(label: string, change: (value: string) => void): Choice {
  const select = h("select");
  select.addEventListener("change", () => change(select.value));
  return {
    element: field(label, select),
    select,
    options(list, chosen) {
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
      fill(select, ...made);
      select.value = chosen;
    },
  };
}

/** The methods of the registry, the quick ones first, with a plain sentence about the one chosen. */
export function methodChoice(page: Page, change: (name: string) => void): Choice & { show(name: string): void } {
  const made = choice("Method", change);
  const note = h("p", { class: "note" });
  made.element.append(note);
  const list = page.start.methods.map((method) => ({ value: method.name, text: method.name, group: shelf(method) }));
  return {
    ...made,
    show(name) {
      const known = page.start.methods.find((method) => method.name === name);
      made.options(known ? list : [{ value: name, text: name, group: "combined" }, ...list], name);
      fill(note, ...(known ? [known.summary, h("span", { class: "paper" }, known.paper)] : combined(page, name)));
    },
  };
}

/** What the parts of a combined method do, the outermost first. */
function combined(page: Page, name: string): HTMLElement[] {
  const parts = [...page.start.combinators, ...page.start.methods];
  const words = name.match(/[a-z_]\w*/gi) ?? [];
  const known = words.map((word) => parts.find((part) => part.name === word)).filter((part) => part !== undefined);
  return known.map((part) => h("span", { class: "part" }, h("b", {}, part.name), `: ${part.summary}`));
}

const shelf = (method: MethodChoice): string =>
  `${method.layered ? "a layer" : "the picture itself"}, ${method.quick ? "at once" : "takes a while"}`;

/** Whether a method maps a layer; of combined ones, whether what is inside does. */
export function isLayered(page: Page, method: string): boolean {
  const inner = page.start.methods.filter((one) => new RegExp(`\\b${one.name}\\b`).test(method));
  return inner.length === 0 || inner.some((one) => one.layered);
}

/** Whether one map is made of several layers. */
export const fuses = (method: string): boolean => /\b(refine|fuse_max|fuse_mean)\(/.test(method);

/** Whether a map is there at once; what runs the network often is not, nor what is put together. */
export function isQuick(page: Page, method: string): boolean {
  return page.start.methods.find((one) => one.name === method)?.quick ?? false;
}

/** The page's models, if there is more than one to choose from. */
export function modelChoice(page: Page): HTMLElement {
  const made = choice("Model", (name) => page.store.set({ model: name, layer: "", target: "" }, true));
  const list = page.start.models.map((model) => ({ value: model.name, text: model.name }));
  const show = (): void => made.options(list, modelOf(page).name);
  page.store.listen((_, changed) => changed.has("model") && show());
  show();
  return made.element;
}

/** What a class is called: its name, or its number. */
export function className(page: Page, index: number, model = page.store.view.model): string {
  return modelOf(page, model).labels[index] ?? `class ${index}`;
}

/** The classes whose name has all words of a text in it: names that begin with it first. */
export function classesLike(labels: readonly string[], text: string, most = 12): number[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hits: [number, number][] = [];
  labels.forEach((label, index) => {
    const name = label.toLowerCase();
    if (words.every((word) => name.includes(word)) || text.trim() === String(index))
      hits.push([name.startsWith(words[0] ?? "") ? 0 : 1, index]);
  });
  return hits
    .sort((one, other) => one[0] - other[0] || one[1] - other[1])
    .slice(0, most)
    .map(([, index]) => index);
}
