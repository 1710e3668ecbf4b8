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
  private readonly button = h("button", { class: "main large", type: "submit" }, "Begin");
  private readonly known = h("p", { class: "note", "aria-live": "polite" });
  private readonly title = h("h2", { tabindex: -1 }, "Which map shows it better?");
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
        `${info.model} looked at ${counted(info.n_images, "picture")} and said what it saw. `,
        "A map colours the places that are said to have decided its answer. ",
        info.pairs ? "You see two maps of a picture and choose the one that explains the answer better. " : "",
        info.ratings ? `${info.pairs ? "Now and then" : "Each time"} you rate one map alone, from 1 to 5. ` : "",
        "Which method drew a map is not told.",
      ),
      h(
        "p",
        { class: "note" },
        `${counted(total, "question")}, ${minutes(total)}. Every answer is kept at once, so you may stop at any time ` +
          "and go on later under the same name.",
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
    this.button.textContent = !before ? "Begin" : before.answered < total ? "Go on" : "Look back";
    fill(this.known, before && `${before.name} has answered ${before.answered} of ${total}.`);
  }
}

const tidy = (name: string): string => name.trim().split(/\s+/).join(" ").normalize("NFC");

const remembered = (): string => localStorage.getItem(KEY) ?? "";

/** The next person is another one. */
export const forget = (): void => localStorage.removeItem(KEY);
