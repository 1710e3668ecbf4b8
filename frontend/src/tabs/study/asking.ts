// One question after the other: two maps to choose from, or one to rate; by keys, pointer or thumb.

import { get, post } from "../../api";
import { fill, h } from "../../dom";
import type { Page } from "../../page";
import { forget } from "./beginning";
import { Clock } from "./clock";
import type { StudyProgress, StudyQuestion, StudyTrial } from "./wire";

/** A question with its pictures, decoded: they are shown in one go. */
interface Loaded {
  trial: StudyTrial;
  original: HTMLImageElement;
  maps: HTMLImageElement[];
}

const PAIR: Record<string, number> = { ArrowLeft: 1, 1: 1, f: 1, ArrowRight: 2, 2: 2, j: 2 };
const RATINGS = ["not at all", "a little", "partly", "well", "very well"];
/** Pictures up to this long are enlarged as plain squares: so small, their pixels are what there is to see. */
const TINY = 96;
/** Questions that are kept ready round the one on the screen. */
const KEPT = 3;
/** Seconds: whoever needs longer was away. */
const LONGEST = 3600;

export class Asking {
  readonly element = h("div", { class: "stage" });
  private readonly count = h("span", { class: "count" });
  private readonly bar = h("progress", { "aria-label": "Questions answered", value: 0, max: 1 });
  private readonly question = h("h2", { class: "question", tabindex: -1, "aria-live": "polite" });
  private readonly before = h("button", { onclick: () => void this.back() }, "Back ", key("⌫"));
  private readonly onward = h("button", { onclick: () => void this.go(this.open) }, "Go on without changing it");
  private readonly left = h("div", { class: "frame" });
  private readonly middle = h("div", { class: "frame" });
  private readonly right = h("div", { class: "frame" });
  private readonly picks = [1, 2].map((side) => pick(side, () => void this.answer(side)));
  private readonly rates = RATINGS.map((words, i) => rate(i + 1, words, () => void this.answer(i + 1)));
  private readonly keys = h("p", { class: "note keys" });
  private readonly pictures: HTMLElement;
  private readonly rating: HTMLElement;
  private readonly loaded = new Map<number, Promise<Loaded>>();
  private readonly clock = new Clock();
  private person = "";
  private answered = 0;
  private total = 0;
  /** The place of the first open question, and of the one on the screen. */
  private open = 0;
  private shown: Loaded | null = null;
  private busy = false;

  constructor(
    private readonly page: Page,
    private readonly root: HTMLElement,
    private readonly leave: () => void,
  ) {
    this.pictures = h(
      "div",
      { class: "pictures" },
      h("figure", { class: "side left" }, this.left, this.picks[0]),
      h("figure", { class: "original" }, this.middle, h("figcaption", {}, "The picture")),
      h("figure", { class: "side right" }, this.right, this.picks[1]),
    );
    this.rating = h("div", { class: "rates", role: "group", "aria-label": "How well does the map show it?" }, ...this.rates);
    document.addEventListener("keydown", (event) => this.press(event));
  }

  /** Ask this person from where they stopped; false where that failed, which is said. */
  async begin(person: string): Promise<boolean> {
    this.person = person;
    this.loaded.clear();
    this.shown = null;
    try {
      const next = await this.ask();
      this.person = next.person;
      if (next.trial) await this.go(next.trial.place);
      else this.end();
      return next.trial === null || this.shown !== null;
    } catch (error) {
      this.page.say((error as Error).message, "error");
      return false;
    }
  }

  focus(): void {
    this.element.querySelector("h2")?.focus();
  }

  /** Another tab came to the front, or went: meanwhile time does not count. */
  behind(away: boolean): void {
    this.clock.behind(away);
  }

  /** What the server asks: the first open question, or the one at a place. */
  private async ask(place?: number): Promise<StudyQuestion> {
    const where = new URLSearchParams({ person: this.person, ...(place === undefined ? {} : { place: String(place) }) });
    const next = await get<StudyQuestion>(`/api/study/next?${where}`);
    this.total = next.total;
    if (place === undefined) {
      this.answered = next.answered;
      this.open = next.trial?.place ?? next.total;
      if (next.trial) this.loaded.set(next.trial.place, withPictures(next.trial));
    }
    return next;
  }

  private load(place: number): Promise<Loaded> {
    const known = this.loaded.get(place);
    if (known) return known;
    const loading = this.ask(place).then(({ trial }) => {
      if (!trial) throw new Error("This study has changed. Load the page again.");
      return withPictures(trial);
    });
    loading.catch(() => this.loaded.delete(place));
    this.loaded.set(place, loading);
    return loading;
  }

  /** Show the question at a place, once all its pictures are there; then fetch the one after it. */
  private async go(place: number): Promise<void> {
    this.busy = true;
    try {
      if (place >= this.total) return this.end();
      this.draw(await this.load(place));
      for (const kept of [...this.loaded.keys()])
        if (Math.abs(kept - place) > KEPT && kept !== this.open) this.loaded.delete(kept);
      this.prepare(place + 1);
    } catch (error) {
      this.loaded.delete(place);
      this.page.say((error as Error).message, "error");
    } finally {
      this.busy = false;
    }
  }

  /** Fetch what comes next. Where that fails, it is asked for again when it is wanted. */
  private prepare(place: number): void {
    if (place >= this.total) return;
    this.load(place).then(
      () => (this.root.dataset.next = String(place)),
      () => undefined,
    );
  }

  private back(): Promise<void> {
    if (this.busy) return Promise.resolve();
    const place = this.shown ? this.shown.trial.place : this.total;
    return place > 0 ? this.go(place - 1) : Promise.resolve();
  }

  /** Keep an answer; the question stays until the server has it. */
  private async answer(answer: number): Promise<void> {
    const shown = this.shown;
    const seconds = Math.min(LONGEST, this.clock.seconds);
    if (!shown || this.busy || !this.clock.begun) return;
    const { place, maps } = shown.trial;
    this.busy = true;
    this.mark(answer);
    try {
      const kept = await post<StudyProgress>("/api/study/answer", { person: this.person, place, maps, answer, seconds });
      shown.trial = { ...shown.trial, said: answer };
      this.answered = kept.answered;
      if (place === this.open) this.open += 1;
    } catch (error) {
      this.mark(shown.trial.said);
      this.page.say(`Not kept. ${(error as Error).message}`, "error");
      return;
    } finally {
      this.busy = false;
    }
    this.page.say("");
    if (await this.isOpen()) await this.go(this.open);
  }

  /** Whether the next question is open indeed: some may have been answered elsewhere. Else the server says which is. */
  private async isOpen(): Promise<boolean> {
    try {
      const next = this.open < this.total ? await this.load(this.open) : null;
      if (next ? next.trial.said !== null : this.answered < this.total) await this.ask();
      return true;
    } catch (error) {
      this.page.say((error as Error).message, "error");
      return false;
    }
  }

  private draw(loaded: Loaded): void {
    const { trial, original, maps } = loaded;
    const pair = trial.kind === "pair";
    this.clock.stop();
    this.shown = loaded;
    original.alt = "the picture without a map";
    maps.forEach((map, i) => (map.alt = pair ? `map on the ${i ? "right" : "left"}` : "the map"));
    fill(this.middle, original);
    fill(this.left, maps[0]);
    fill(this.right, maps[1]);
    this.pictures.className = `pictures ${trial.kind}`;
    for (const one of this.picks) one.hidden = !pair;
    this.right.parentElement!.hidden = !pair;
    this.rating.hidden = pair;
    fill(this.question, `${trial.question} `, pair ? "Which map shows it better?" : "How well does this map show it?");
    fill(
      this.keys,
      ...(pair
        ? ["Keys: ", key("←"), " ", key("→"), " or ", key("1"), " ", key("2"), " or ", key("F"), " ", key("J")]
        : ["Keys: ", key("1"), " to ", key("5")]),
      ". ",
      key("⌫"),
      " goes back to the last one.",
    );
    fill(this.count, `${trial.place + 1} of ${this.total}`);
    this.bar.max = this.total;
    this.bar.value = this.answered;
    this.before.disabled = trial.place === 0;
    this.onward.hidden = trial.place === this.open;
    this.mark(trial.said);
    if (!this.element.contains(this.pictures)) this.stage();
    delete this.root.dataset.drawn;
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (this.shown !== loaded) return;
        this.clock.begin();
        this.root.dataset.drawn = `trial ${trial.place}`;
      }),
    );
  }

  private stage(): void {
    fill(
      this.element,
      h(
        "div",
        { class: "row head" },
        this.before,
        this.bar,
        this.count,
        h("button", { class: "quiet", onclick: () => this.stop() }, "Stop here"),
      ),
      this.question,
      this.pictures,
      this.rating,
      h("div", { class: "row after" }, this.onward),
      this.keys,
    );
  }

  /** Which answer is, or was, given. */
  private mark(answer: number | null): void {
    const buttons = this.shown?.trial.kind === "pair" ? this.picks : this.rates;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(answer === i + 1)));
  }

  private stop(): void {
    this.shown = null;
    this.clock.stop();
    this.leave();
  }

  private end(): void {
    this.shown = null;
    this.clock.stop();
    fill(
      this.element,
      h(
        "section",
        { class: "card end" },
        h("h2", { tabindex: -1 }, `That was all, ${this.person}. Thank you.`),
        h("p", {}, `All ${this.total} answers are kept.`),
        h(
          "div",
          { class: "row" },
          h("button", { class: "main", onclick: () => this.stop() }, "To the study's first page"),
          h("button", { onclick: () => void this.mend() }, "Back to the last question"),
          h(
            "button",
            {
              onclick: () => {
                forget();
                this.stop();
              },
            },
            "Somebody else answers",
          ),
        ),
      ),
    );
    this.root.dataset.drawn = "end";
    this.focus();
  }

  private async mend(): Promise<void> {
    await this.go(this.total - 1);
    this.focus();
  }

  private press(event: KeyboardEvent): void {
    if (!this.shown || this.page.store.view.tab !== "study" || !this.element.isConnected) return;
    const at = event.target as Element;
    if (event.repeat && at.closest?.(".pick")) event.preventDefault(); // a key held down is one answer, not many
    if (event.repeat || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (at.closest?.("input, select, textarea, #top")) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (name === "Backspace") {
      event.preventDefault();
      void this.back();
      return;
    }
    const answer = this.shown.trial.kind === "pair" ? PAIR[name] : /^[1-5]$/.test(name) ? Number(name) : undefined;
    if (answer === undefined) return;
    event.preventDefault();
    void this.answer(answer);
  }
}

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

async function withPictures(trial: StudyTrial): Promise<Loaded> {
  const [original, ...maps] = await Promise.all([trial.original, ...trial.maps].map(decoded));
  return { trial, original: original!, maps };
}

async function decoded(id: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = `/api/study/pictures/${id}`;
  try {
    await image.decode();
  } catch {
    throw new Error("A picture of the study cannot be shown (any more). Is its folder still whole?");
  }
  if (Math.max(image.naturalWidth, image.naturalHeight) <= TINY) image.className = "tiny";
  return image;
}
