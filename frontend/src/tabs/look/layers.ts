// From edges to objects: a slider over the model's layers, and a field for any other one.

import { fill, h } from "../../dom";
import { fuses, isLayered } from "../../methods";
import { modelOf, type Page } from "../../page";
import { layerWords } from "../../parts/choices";
import { field } from "../../parts/controls";

export class Layers {
  readonly element: HTMLElement;
  private readonly input = h("input", { type: "range", min: 0, step: 1 });
  private readonly told = h("output");
  private readonly note = h("p", { class: "note" });
  private readonly more: HTMLElement;
  private readonly other = h("input", { type: "text", spellcheck: "false", autocomplete: "off" });

  constructor(private readonly page: Page) {
    const pick = (kept: boolean): void => {
      const layer = modelOf(page).layers[Number(this.input.value)];
      if (layer) page.store.set({ layer: layer.name }, kept);
    };
    this.more = h(
      "details",
      {},
      h("summary", {}, "Another layer"),
      field("Name of the module", this.other),
    );
    this.input.addEventListener("input", () => pick(false));
    this.input.addEventListener("change", () => pick(true));
    const slider = field("Layer", this.input, this.told);
    slider.classList.add("slider");
    this.other.addEventListener("change", () => page.store.set({ layer: this.other.value.trim() }, true));
    this.element = h(
      "section",
      { class: "layers" },
      slider,
      h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, "edges"), h("span", {}, "objects")),
      this.note,
      this.more,
    );
  }

  /** What the view asks for; `drawn` is the layer of the map that is there. */
  show(drawn = ""): void {
    const { method, layer } = this.page.store.view;
    const { layers } = modelOf(this.page);
    const none = !isLayered(this.page, method);
    const several = fuses(method);
    this.input.max = String(layers.length - 1);
    this.input.disabled = none || several || layers.length < 2;
    const wanted = layer || (layers.some((one) => one.label === drawn) ? drawn : "");
    const at = layers.findIndex((one) => one.name === wanted || one.label === wanted);
    const shown = layers[at < 0 && !layer ? layers.length - 1 : at];
    if (shown) this.input.value = String(layers.indexOf(shown));
    const words = none || several ? "" : shown ? layerWords(shown) : layer;
    this.told.textContent = words;
    this.input.setAttribute("aria-valuetext", words || "not used");
    if (document.activeElement !== this.other) this.other.value = shown || none ? "" : layer;
    this.more.hidden = none || several;
    fill(
      this.note,
      none && "This method explains the input directly and uses no layer.",
      several && "This method fuses all these layers into one map.",
    );
  }
}
