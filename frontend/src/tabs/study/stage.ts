// A question on the screen: two maps to choose from, or one to rate.

import { fill, h } from "../../dom";
import type { Loaded } from "./questions";

const RATINGS = ["not at all", "a little", "partly", "well", "very well"];

/** What the buttons of the stage do. */
export interface Doing {
  answer(answer: number): void;
  back(): void;
  onward(): void;
  stop(): void;
}

/** How far somebody has come. */
export interface Progress {
  answered: number;
  total: number;
  /** The place of the first open question. */
  open: number;
}

export class Stage {
  readonly element = h("div", { class: "stage" });
  private readonly count = h("span", { class: "count" });
  private readonly bar = h("progress", { "aria-label": "Questions answered", value: 0, max: 1 });
  private readonly question = h("h2", { class: "question", tabindex: -1, "aria-live": "polite" });
  private readonly before: HTMLButtonElement;
  private readonly onward: HTMLButtonElement;
  private readonly left = h("div", { class: "frame" });
  private readonly middle = h("div", { class: "frame" });
  private readonly right = h("div", { class: "frame" });
  private readonly picks: HTMLButtonElement[];
  private readonly rates: HTMLButtonElement[];
  private readonly keys = h("p", { class: "note keys" });
  private readonly pictures: HTMLElement;
  private readonly rating: HTMLElement;

  constructor(private readonly doing: Doing) {
    this.before = h("button", { onclick: () => doing.back() }, "Back ", key("⌫"));
    this.onward = h("button", { onclick: () => doing.onward() }, "Continue without a change");
    this.picks = [1, 2].map((side) => pick(side, () => doing.answer(side)));
    this.rates = RATINGS.map((words, i) => rate(i + 1, words, () => doing.answer(i + 1)));
    this.pictures = h(
      "div",
      { class: "pictures" },
      h("figure", { class: "side left" }, this.left, this.picks[0]),
      h("figure", { class: "original" }, this.middle, h("figcaption", {}, "The image")),
      h("figure", { class: "side right" }, this.right, this.picks[1]),
    );
    const how = { class: "rates", role: "group", "aria-label": "How well does the map explain the prediction?" };
    this.rating = h("div", how, ...this.rates);
  }

  draw({ trial, original, maps }: Loaded, { answered, total, open }: Progress): void {
    const pair = trial.kind === "pair";
    original.alt = "the image without a map";
    maps.forEach((map, i) => (map.alt = pair ? `map on the ${i ? "right" : "left"}` : "the map"));
    fill(this.middle, original);
    fill(this.left, maps[0]);
    fill(this.right, maps[1]);
    this.pictures.className = `pictures ${trial.kind}`;
    for (const one of this.picks) one.hidden = !pair;
    this.right.parentElement!.hidden = !pair;
    this.rating.hidden = pair;
    fill(this.question, `${trial.question} `, pair ? "Which map explains the prediction better?" : "How well does this map explain the prediction?");
    fill(this.keys, ...keysOf(pair), ". ", key("⌫"), " returns to the previous question.");
    fill(this.count, `${trial.position + 1} of ${total}`);
    this.bar.max = total;
    this.bar.value = answered;
    this.before.disabled = trial.position === 0;
    this.onward.hidden = trial.position === open;
    this.mark(trial.answer, pair);
    if (!this.element.contains(this.pictures)) this.build();
  }

  /** Which answer is, or was, given. */
  mark(answer: number | null, pair: boolean): void {
    const buttons = pair ? this.picks : this.rates;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(answer === i + 1)));
  }

  focus(): void {
    this.element.querySelector("h2")?.focus();
  }

  private build(): void {
    const stop = h("button", { class: "quiet", onclick: () => this.doing.stop() }, "Stop");
    fill(
      this.element,
      h("div", { class: "row head" }, this.before, this.bar, this.count, stop),
      this.question,
      this.pictures,
      this.rating,
      h("div", { class: "row after" }, this.onward),
      this.keys,
    );
  }
}

const keysOf = (pair: boolean): (Node | string)[] =>
  pair
    ? ["Keys: ", key("←"), " ", key("→"), " or ", key("1"), " ", key("2"), " or ", key("F"), " ", key("J")]
    : ["Keys: ", key("1"), " to ", key("5")];

const key = (sign: string): HTMLElement => h("kbd", { "aria-hidden": "true" }, sign);

function pick(side: number, run: () => void): HTMLButtonElement {
  const left = side === 1;
  const attributes = {
    class: "pick",
    onclick: run,
    "aria-label": `${left ? "Left" : "Right"} is better`,
    "aria-keyshortcuts": left ? "ArrowLeft 1 F" : "ArrowRight 2 J",
  };
  return left
    ? h("button", attributes, key("←"), " Left")
    : h("button", attributes, "Right ", key("→"));
}

function rate(value: number, words: string, run: () => void): HTMLButtonElement {
  const attributes = { class: "pick", onclick: run, "aria-keyshortcuts": String(value), "aria-label": `${value}: ${words}` };
  return h("button", attributes, key(String(value)), h("span", {}, words));
}
