// Several of many: what is chosen as buttons that take it away, a list and a field that add to it.

import { fill, fresh, h } from "../../dom";
import { type Option, shelved } from "../../parts/controls";

export interface Typed {
  /** What the empty field says. */
  hint: string;
  /** What a text may mean, the likeliest first. */
  like(text: string): Option[];
}

const HINTS = 8;

/** A multiple choice. `change` is told all values, in order. */
export class Several {
  readonly element: HTMLElement;
  private readonly chips = h("div", { class: "chips" });
  private readonly add: HTMLSelectElement;
  private readonly field: HTMLInputElement | null = null;
  private readonly hints = h("div", { class: "hints" });
  private chosen: Option[] = [];

  constructor(
    label: string,
    private readonly change: (values: string[]) => void,
    private readonly typed?: Typed,
  ) {
    const name = fresh("several");
    this.add = h("select", { "aria-label": `${label}: add`, onchange: () => this.take(this.add.value) });
    if (typed) {
      this.field = h("input", {
        type: "search",
        "aria-label": `${label}: search`,
        placeholder: typed.hint,
        autocomplete: "off",
        oninput: () => this.suggest(),
        onkeydown: (event: KeyboardEvent) => this.key(event),
      });
    }
    this.element = h(
      "div",
      { class: "several", role: "group", "aria-labelledby": name },
      h("span", { class: "title", id: name }, label),
      this.chips,
      h("div", { class: "adding" }, this.add, this.field),
      this.hints,
    );
  }

  /** What is chosen, what may be added, and what it says where nothing is chosen. */
  set(chosen: Option[], options: Option[], none = ""): void {
    this.chosen = chosen;
    const held = this.chips.contains(document.activeElement)
      ? [...this.chips.children].indexOf(document.activeElement!)
      : -1;
    fill(
      this.chips,
      ...chosen.map((one) =>
        h(
          "button",
          { class: "chip", "data-value": one.value, "aria-label": `Remove ${one.text}`, onclick: () => this.drop(one) },
          h("span", {}, one.text),
          h("span", { class: "off", "aria-hidden": "true" }, "×"),
        ),
      ),
      !chosen.length && none ? h("span", { class: "note" }, none) : null,
    );
    const left = options.filter((option) => !chosen.some((one) => one.value === option.value));
    this.add.disabled = !left.length;
    fill(this.add, h("option", { value: "" }, left.length ? "Add …" : "select all"), ...shelved(left));
    if (held >= 0) (this.chips.querySelectorAll<HTMLElement>("button")[Math.min(held, chosen.length - 1)] ?? this.add).focus();
  }

  private take(value: string): void {
    this.add.value = "";
    if (this.field) this.field.value = "";
    fill(this.hints);
    if (value && !this.chosen.some((one) => one.value === value))
      this.change([...this.chosen.map((one) => one.value), value]);
  }

  private drop(which: Option): void {
    this.change(this.chosen.filter((one) => one !== which).map((one) => one.value));
  }

  private suggest(): void {
    const found = this.found();
    fill(this.hints, ...found.map((one) => h("button", { onclick: () => this.take(one.value) }, one.text)));
  }

  private found(): Option[] {
    const text = this.field?.value.trim() ?? "";
    return text ? this.typed!.like(text).slice(0, HINTS) : [];
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "Enter") {
      event.preventDefault();
      const first = this.found()[0];
      if (first) this.take(first.value);
    } else if (event.key === "Escape") {
      this.field!.value = "";
      fill(this.hints);
    }
  }
}
