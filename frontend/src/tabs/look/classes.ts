// Which class is explained: the likeliest as bars, any by name, why one rather than another, what speaks against it.

import type { Answer } from "../../api/types";
import { className } from "../../classes";
import { fill, h } from "../../dom";
import { modelOf, type Page } from "../../page";
import { bars } from "../../parts/bars";
import { combobox } from "../../parts/combobox";
import { check } from "../../parts/controls";
import { type Aim, aimOf, targetOf } from "./aim";

const PREDICTED: Aim = { one: null, other: null, against: false };

export class Classes {
  readonly element: HTMLElement;
  private readonly guesses = h("div");
  private readonly against = h("input", { type: "checkbox" });
  private readonly back: HTMLButtonElement;
  private readonly search;
  private readonly rival;
  private best: number | null = null;

  constructor(private readonly page: Page) {
    const names = (): readonly string[] => modelOf(page).labels;
    this.search = combobox("Explain another class", names, (index) => this.aim({ one: index }), "search by name");
    this.rival = combobox(
      "Rather than",
      names,
      // What it is set against stays when the prediction changes: so the class is named, too.
      (index) => this.aim({ other: index, one: index === null ? this.now.one : (this.now.one ?? this.best) }),
      "no other class",
    );
    this.against.addEventListener("change", () => this.aim({ against: this.against.checked, other: null }));
    this.back = h("button", { class: "quiet", onclick: () => this.aim(PREDICTED) }, "Back to the predicted class");
    this.element = h(
      "section",
      { class: "classes" },
      h("h3", {}, "Positive evidence"),
      this.guesses,
      this.search.element,
      this.rival.element,
      check("Negative evidence", this.against),
      this.back,
    );
  }

  /** The answer's classes. */
  show(answer: Answer): void {
    this.best = answer.predictions[0]?.index ?? null;
    const { one, other } = this.now;
    const marks = { truth: answer.label_index, rival: other };
    const list = bars(answer.predictions, one ?? this.best, (index) => this.aim({ one: index, other: null }), marks);
    const held = this.guesses.contains(document.activeElement)
      ? [...this.guesses.querySelectorAll("button")].indexOf(document.activeElement as HTMLButtonElement)
      : -1;
    fill(this.guesses, list);
    if (held >= 0) this.guesses.querySelectorAll("button")[held]?.focus();
    this.controls();
  }

  /** What the view asks for. */
  controls(): void {
    const { one, other, against } = this.now;
    this.search.set(one === null ? "" : className(this.page, one));
    this.rival.set(other === null ? "" : className(this.page, other));
    this.against.checked = against;
    this.back.hidden = !this.page.store.view.target;
  }

  private get now(): Aim {
    return aimOf(this.page.store.view.target) ?? PREDICTED;
  }

  private aim(patch: Partial<Aim>): void {
    const next = { ...this.now, ...patch };
    if (next.other !== null) next.against = false;
    if (next.other === next.one) next.other = null;
    this.page.store.set({ target: targetOf(next) }, true);
  }
}
