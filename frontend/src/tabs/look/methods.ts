// How it is explained: model, method with its options, what is put round it, what a class is scored by.

import { fill, h } from "../../dom";
import type { Page } from "../../page";
import { methodChoice, modelChoice } from "../../parts/choices";
import { check, choice, field } from "../../parts/controls";
import { optionsOf } from "../../question";

const PRESETS = ["refine(layer_cam)", "smooth(positive(hires_cam), n=4)", "fuse_mean(grad_cam)", "negative(hires_cam)"];
const SCORES = [
  { value: "logit", text: "logit, as in the papers" },
  { value: "probability", text: "probability" },
  { value: "log_probability", text: "log probability" },
];

export class Methods {
  readonly element: HTMLElement;
  private readonly method;
  private readonly score;
  private readonly text = h("input", { type: "text", spellcheck: "false", autocomplete: "off" });
  private readonly options = h("details", { class: "method-options" });
  private drawnFor = "";

  constructor(private readonly page: Page) {
    this.method = methodChoice(page, (name) => this.choose(name));
    this.score = choice("Class score", (name) => page.store.set({ score: name }, true));
    this.text.addEventListener("change", () => this.text.value.trim() && this.choose(this.text.value.trim()));
    const presets = PRESETS.map((text) => h("button", { class: "preset", onclick: () => this.choose(text) }, text));
    this.element = h(
      "section",
      { class: "methods" },
      h("h3", {}, "Method"),
      modelChoice(page),
      this.method.element,
      this.options,
      h(
        "details",
        {},
        h("summary", {}, "Combine methods"),
        field("Expression", this.text),
        h("div", { class: "presets" }, ...presets),
        h("p", { class: "note" }, `Combinators for any method: ${page.start.combinators.map((one) => one.name).join(", ")}.`),
      ),
      this.score.element,
    );
  }

  show(): void {
    const view = this.page.store.view;
    this.method.show(view.method);
    this.score.options(SCORES, view.score);
    if (document.activeElement !== this.text) this.text.value = view.method;
    const key = `${view.method} ${view.more["look.options"] ?? ""}`;
    if (key !== this.drawnFor && !this.options.contains(document.activeElement)) {
      this.drawnFor = key;
      this.drawOptions();
    }
  }

  private choose(method: string): void {
    this.page.store.own("look").set({ options: null }, true, { method }); // they were those of another method
  }

  private drawOptions(): void {
    const view = this.page.store.view;
    const known = this.page.start.methods.find((one) => one.name === view.method)?.options ?? {};
    const given = optionsOf(view);
    const fields = Object.entries(known).flatMap(([name, usual]) => {
      const value = given[name] ?? usual;
      if (typeof usual === "boolean") {
        const box = h("input", { type: "checkbox", onchange: () => this.set(name, box.checked, usual) });
        box.checked = Boolean(value);
        return [check(name, box)];
      }
      if (typeof usual !== "number" && (typeof usual !== "string" || usual.startsWith("("))) return [];
      const number = typeof usual === "number";
      const input = h("input", number ? { type: "number", step: "any" } : { type: "text", spellcheck: "false" });
      input.value = String(value);
      input.addEventListener("change", () => {
        if (input.value !== "" && input.checkValidity()) this.set(name, number ? Number(input.value) : input.value, usual);
      });
      return [field(name, input)];
    });
    this.options.hidden = !fields.length;
    if (Object.keys(given).length) this.options.open = true;
    fill(this.options, h("summary", {}, "Options"), h("div", { class: "fields" }, ...fields));
  }

  private set(name: string, value: string | number | boolean, usual: unknown): void {
    const options = { ...optionsOf(this.page.store.view), [name]: value };
    if (value === usual) delete options[name];
    this.page.store.own("look").set({ options: Object.keys(options).length ? JSON.stringify(options) : null });
  }
}
