// How maps are painted: nothing here asks the server for anything.

import { fill, fresh, h } from "../../dom";
import { lookOf, type Page } from "../../page";
import { opacitySlider } from "../../parts/choices";
import { choice, slider } from "../../parts/controls";
import { repaints } from "../../view";

/** Sliders and choices for opacity, palette, threshold, contour and blend; they follow the view. */
export function painting(page: Page): HTMLElement {
  const range = { min: 0, max: 1, step: 0.01 };
  const share = (value: number): string => (value > 0 ? `${Math.round(100 * value)} %` : "off");
  const opacity = opacitySlider(page);
  const threshold = slider("Threshold", range, (value) => page.store.set({ threshold: value }), share);
  const contour = slider("Contour at the threshold", range, (value) => page.store.set({ contour: value }), share);
  const blend = choice("Blending", (name) => page.store.set({ blend: name as "saliency" }));
  const group = fresh("palette");
  const names = ["", ...Object.keys(page.start.palettes)];
  const radios = names.map((name) =>
    h("input", { type: "radio", name: group, value: name, onchange: () => page.store.set({ colormap: name }) }),
  );
  const palettes = h(
    "fieldset",
    { class: "palettes" },
    h("legend", {}, "Colour map"),
    ...names.map((name, i) =>
      h("label", { class: name ? "" : "own" }, radios[i]!, name && page.painter.ramp(name), name || "automatic"),
    ),
  );
  blend.options(
    [
      { value: "saliency", text: "opacity by map value" },
      { value: "uniform", text: "constant opacity" },
    ],
    "saliency",
  );
  function show(): void {
    const look = lookOf(page);
    threshold.set(look.threshold);
    contour.set(look.contour);
    blend.select.value = look.blend;
    const chosen = names.includes(look.colormap) ? look.colormap : "";
    radios.forEach((radio, i) => (radio.checked = names[i] === chosen));
  }
  page.store.listen((_, changed) => repaints(changed) && show());
  show();
  const element = h("section", { class: "painting" });
  fill(element, h("h3", {}, "Display"), opacity.element, threshold.element, contour.element, palettes, blend.element);
  return element;
}
