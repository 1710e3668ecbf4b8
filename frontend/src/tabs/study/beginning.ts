// The way into a study: a name that answers are kept by, remembered for the next visit.

import { fill, fresh, h } from "../../dom";
import { counted } from "../../numbers";
import { minutes } from "./minutes";
import type { StudyInfo } from "./wire";

const KEY = "study.person";

export class Beginning {
  readonly element = h("section", { class: "card begin" });
  private readonly input = h("input", {
    type: "text",
    id: fresh("person"),
    maxlength: 60,
    required: true,
    autocomplete: "off",
    spellcheck: "false",
  });
  private readonly button = h("button", { class: "main large", type: "submit" }, "Start");
  private readonly known = h("p", { class: "note", "aria-live": "polite" });
  private readonly title = h("h2", { tabindex: -1 }, "Which map explains the prediction better?");
  private info: StudyInfo | null = null;

  constructor(private readonly begin: (person: string) => void) {
    this.input.addEventListener("input", () => this.tell());
  }

  draw(info: StudyInfo): void {
    this.info = info;
    const total = info.pairs + info.ratings;
    const form = h(
      "form",
      {
        onsubmit: (event: SubmitEvent) => {
          event.preventDefault();
          this.start();
        },
      },
      h("label", { for: this.input.id }, "Your name, or a number"),
      h("div", { class: "row" }, this.input, this.button),
      this.known,
    );
    fill(
      this.element,
      this.title,
      h(
        "p",
        {},
        `${info.model} predicted the classes of ${counted(info.n_images, "image")}. `,
        "A map highlights the positions that are supposed to have determined the prediction. ",
        info.pairs ? "You see two maps of an image and choose the one that explains the prediction better. " : "",
        info.ratings ? `${info.pairs ? "Sometimes" : "Each time"} you rate one map alone, from 1 to 5. ` : "",
        "The methods are not named.",
      ),
      h(
        "p",
        { class: "note" },
        `${counted(total, "question")}, ${minutes(total)}. Every answer is saved at once, so you can stop at any time ` +
          "and continue later with the same name.",
      ),
      form,
    );
    this.input.value = remembered();
    this.tell();
  }

  focus(): void {
    (this.input.value ? this.title : this.input).focus();
  }

  private start(): void {
    const name = tidy(this.input.value);
    if (!name) return;
    localStorage.setItem(KEY, name);
    this.begin(name);
  }

  private tell(): void {
    const name = tidy(this.input.value);
    const before = this.info?.people.find((one) => one.name === name);
    const total = (this.info?.pairs ?? 0) + (this.info?.ratings ?? 0);
    this.button.textContent = !before ? "Start" : before.answered < total ? "Continue" : "Review answers";
    fill(this.known, before && `${before.name} has answered ${before.answered} of ${total}.`);
  }
}

const tidy = (name: string): string => name.trim().split(/\s+/).join(" ").normalize("NFC");

const remembered = (): string => localStorage.getItem(KEY) ?? "";

/** The next person is another one. */
export const forget = (): void => localStorage.removeItem(KEY);
