// The choices that several tabs offer of the same things: model, method, layer, and how strongly maps are painted.

import type { LayerChoice, MethodChoice } from "../api/types";
import { fill, h } from "../dom";
import { isLayered } from "../methods";
import { sized } from "../numbers";
import { modelOf, type Page } from "../page";
import { type Choice, choice, type Slider, slider } from "./controls";

/** The page's models; nothing where there is only one. */
export function modelChoice(page: Page): HTMLElement | null {
  if (page.start.models.length < 2) return null;
  const made = choice("Model", (name) => page.store.set({ model: name, layer: "", target: "" }, true));
  const list = page.start.models.map((model) => ({ value: model.name, text: model.name }));
  const show = (): void => made.options(list, modelOf(page).name);
  page.store.listen((_, changed) => changed.has("model") && show());
  show();
  return made.element;
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

const shelf = (method: MethodChoice): string =>
  `${method.layered ? "a layer" : "the input"}, ${method.quick ? "fast" : "slow"}`;

/** What the parts of a combined method do, the outermost first. */
function combined(page: Page, name: string): HTMLElement[] {
  const parts = [...page.start.combinators, ...page.start.methods];
  const words = name.match(/[a-z_]\w*/gi) ?? [];
  const known = words.map((word) => parts.find((part) => part.name === word)).filter((part) => part !== undefined);
  return known.map((part) => h("span", { class: "part" }, h("b", {}, part.name), `: ${part.summary}`));
}

/** The layers of the model of the view. `any`: also where the method maps none. */
export function layerChoice(page: Page, any = false): { element: HTMLElement; show(): void } {
  const made = choice("Layer", (name) => page.store.set({ layer: name }, true));
  return {
    element: made.element,
    show() {
      const { layer, method } = page.store.view;
      const list = modelOf(page).layers.map((one) => ({ value: one.name, text: layerWords(one) }));
      if (layer && !list.some((one) => one.value === layer)) list.unshift({ value: layer, text: layer });
      made.options(list, layer || (list[list.length - 1]?.value ?? ""));
      made.select.disabled = !any && !isLayered(page, method);
    },
  };
}

/** "layer3 · 12 × 12". */
export const layerWords = ({ label, grid }: LayerChoice): string => (grid ? `${label} · ${sized(grid)}` : label);

/** How strongly the heat covers the photo; it follows the view. */
export function opacitySlider(page: Page): Slider {
  const tell = (value: number): string => `${Math.round(100 * value)} %`;
  const made = slider("Opacity", { min: 0, max: 1, step: 0.01 }, (value) => page.store.set({ opacity: value }), tell);
  page.store.listen((view, changed) => changed.has("opacity") && made.set(view.opacity));
  made.set(page.store.view.opacity);
  return made;
}
