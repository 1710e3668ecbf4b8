// Making a study: which methods, how many pictures, how many questions.

import { fill, h } from "../../dom";
import { counted } from "../../numbers";
import { modelOf, type Page } from "../../page";
import { layerWords, modelChoice } from "../../parts/choices";
import { choice, field } from "../../parts/controls";
import { Task } from "../../parts/task";
import { minutes } from "./minutes";
import type { StudyState } from "./wire";

const USUAL = ["grad_cam", "layer_cam", "eigen_cam", "random_cam"];
const MOST = 8;

export class Making {
  readonly element = h("div", { class: "making" });
  busy = false;
  private readonly boxes: HTMLInputElement[];
  private readonly pictures: HTMLInputElement;
  private readonly pairs = number(0, 28, 3);
  private readonly ratings = number(0, MOST, 1);
  private readonly seed = number(0, 2 ** 31, 0);
  private readonly layer = choice("Layer", () => undefined);
  private readonly sum = h("p", { class: "sum", "aria-live": "polite" });
  private readonly button = h("button", { class: "main large", type: "submit" }, "Create the study");
  private readonly task: Task;

  constructor(
    private readonly page: Page,
    private readonly made: () => void,
  ) {
    const { methods, data } = page.start;
    this.pictures = number(1, Math.min(200, data.count), Math.min(12, data.count));
    this.task = new Task("Computing the maps");
    this.boxes = methods.map((one) => h("input", { type: "checkbox", value: one.name, checked: USUAL.includes(one.name) }));
    const list = (quick: boolean): HTMLElement[] =>
      methods.flatMap((one, i) =>
        one.quick === quick ? [h("label", { class: "method" }, this.boxes[i], told(one.name, one.summary))] : [],
      );
    const form = h(
      "form",
      {
        class: "card",
        oninput: () => this.tell(),
        onsubmit: (event: SubmitEvent) => {
          event.preventDefault();
          void this.make();
        },
      },
      h("h2", {}, "Create a blind study"),
      h(
        "p",
        {},
        "Participants see maps without method names and choose the one that explains the prediction better. The maps are computed once, " +
          "and all questions are written to the folder of the study.",
      ),
      h(
        "fieldset",
        {},
        h("legend", {}, "Methods, two to eight"),
        h("div", { class: "methods", tabindex: 0, role: "group", "aria-label": "Fast methods" }, ...list(true)),
        h(
          "details",
          {},
          h("summary", {}, "Slow methods"),
          h("div", { class: "methods" }, ...list(false)),
        ),
        h("p", { class: "note" }, "Include random_cam as an attention check: its maps are random."),
      ),
      h(
        "div",
        { class: "fields" },
        modelChoice(page),
        this.layer.element,
        field("Images", this.pictures, note(`selected at random from the ${data.count.toLocaleString("en")} of ${data.name}`)),
        field("Pairs per image", this.pairs, note("two maps: which is better?")),
        field("Ratings per image", this.ratings, note("one map: how good, 1 to 5?")),
        field("Seed", this.seed, note("of all random choices")),
      ),
      this.sum,
      h("div", { class: "row" }, this.button, this.task.element),
    );
    fill(this.element, form);
    page.store.listen((_, changed) => changed.has("model") && this.layers());
  }

  draw(): void {
    this.layers();
    this.tell();
  }

  private get chosen(): string[] {
    return this.boxes.filter((box) => box.checked).map((box) => box.value);
  }

  private layers(): void {
    const { layers } = modelOf(this.page);
    const usual = layers[layers.length - 1];
    this.layer.options(
      [
        { value: "", text: `the default${usual ? `, ${usual.label}` : ""}` },
        ...layers.map((one) => ({ value: one.name, text: layerWords(one) })),
      ],
      "",
    );
  }

  /** What that comes to, or what is missing yet. */
  private tell(): void {
    const many = this.chosen.length;
    const pairs = Math.min(Number(this.pairs.value), (many * (many - 1)) / 2);
    const ratings = Math.min(Number(this.ratings.value), many);
    const pictures = Number(this.pictures.value);
    const total = pictures * (pairs + ratings);
    const wrong =
      many < 2
        ? "Select at least two methods."
        : many > MOST
          ? `Select at most ${MOST} methods; ${many} are selected.`
          : pairs + ratings < 1
            ? "Ask for at least one pair or rating per image."
            : "";
    this.button.disabled = this.busy || wrong !== "";
    fill(
      this.sum,
      wrong ||
        `${counted(many, "method")} on ${counted(pictures, "image")}: ${counted(pairs, "pair")} and ` +
          `${counted(ratings, "rating")} per image: ${counted(total, "question")} per participant, ${minutes(total)}.`,
    );
  }

  private async make(): Promise<void> {
    if (this.busy || this.button.disabled) return;
    this.busy = true;
    this.tell();
    const made = await this.task.run<StudyState>("/api/study/create", {
      model: this.page.store.view.model,
      methods: this.chosen,
      n_images: Number(this.pictures.value),
      layer: this.layer.select.value || null,
      pairs: Number(this.pairs.value),
      ratings: Number(this.ratings.value),
      seed: Number(this.seed.value),
    });
    this.busy = false;
    this.tell();
    if (!made?.study) return;
    const { left_out } = made.study;
    this.page.say(left_out ? `The study was created; ${counted(left_out, "image")} could not be explained.` : "The study was created.");
    this.made();
  }
}

function number(min: number, max: number, value: number): HTMLInputElement {
  return h("input", { type: "number", min, max, value, step: 1, required: true, inputmode: "numeric" });
}

const note = (text: string): HTMLElement => h("p", { class: "note" }, text);

const told = (name: string, summary: string): HTMLElement =>
  h("span", {}, h("b", {}, name), h("span", { class: "note" }, summary));
