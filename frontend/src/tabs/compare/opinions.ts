// What the models predict, where there are several.

import { fill, h } from "../../dom";
import { chance } from "../../numbers";
import { bars } from "../../parts/bars";
import type { Opinion } from "./wire";

export class Opinions {
  readonly element = h("section", { class: "card opinions", hidden: true });

  /** `choose` is told a class that was chosen of a model's. */
  constructor(private readonly choose: (opinion: Opinion, index: number) => void) {}

  set(opinions: readonly Opinion[]): void {
    this.element.hidden = opinions.length < 2;
    if (opinions.length < 2) return;
    const best = opinions.map((one) => one.predictions[0]!);
    const agree = new Set(best.map((guess) => guess.name)).size === 1;
    const sure = opinions.map((one, i) => `${one.model} ${chance(best[i]!)}`).join(", ");
    const who = opinions.map((one, i) => `${one.model} predicts ${best[i]!.name} (${chance(best[i]!)})`).join(", ");
    fill(
      this.element,
      h("h2", {}, "Predictions"),
      h(
        "p",
        { class: "agreement", "data-agree": agree ? "yes" : "no" },
        agree ? `All models predict ${best[0]!.name}: ${sure}.` : `The models differ: ${who}.`,
      ),
      h(
        "div",
        { class: "each" },
        ...opinions.map((one) =>
          h("div", {}, h("h3", {}, one.model), bars(one.predictions, null, (index) => this.choose(one, index))),
        ),
      ),
    );
  }
}
