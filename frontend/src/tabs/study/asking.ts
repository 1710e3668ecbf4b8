// One question after the other, each answer kept at once; by keys, pointer or thumb.

import { post } from "../../api/http";
import { fill, h } from "../../dom";
import type { Page } from "../../page";
import { forget } from "./beginning";
import { Clock } from "./clock";
import { type Loaded, Questions } from "./questions";
import { type Progress, Stage } from "./stage";
import type { StudyProgress, StudyQuestion } from "./wire";

const PAIR: Record<string, number> = { ArrowLeft: 1, 1: 1, f: 1, ArrowRight: 2, 2: 2, j: 2 };
/** Seconds: whoever needs longer was away. */
const LONGEST = 3600;

export class Asking {
  private readonly stage: Stage;
  private readonly clock = new Clock();
  private questions = new Questions("");
  private person = "";
  private progress: Progress = { answered: 0, total: 0, open: 0 };
  private shown: Loaded | null = null;
  private busy = false;

  constructor(
    private readonly page: Page,
    private readonly root: HTMLElement,
    private readonly leave: () => void,
  ) {
    this.stage = new Stage({
      answer: (answer) => void this.answer(answer),
      back: () => void this.back(),
      onward: () => void this.go(this.progress.open),
      stop: () => this.stop(),
    });
    document.addEventListener("keydown", (event) => this.press(event));
  }

  get element(): HTMLElement {
    return this.stage.element;
  }

  /** Ask this person from where they stopped; false where that failed, which is said. */
  async begin(person: string): Promise<boolean> {
    this.questions = new Questions(person);
    this.shown = null;
    try {
      const next = await this.first();
      this.person = next.person;
      if (next.trial) await this.go(next.trial.position);
      else this.end();
      return next.trial === null || this.shown !== null;
    } catch (error) {
      this.page.failed(error);
      return false;
    }
  }

  focus(): void {
    this.stage.focus();
  }

  /** Another tab came to the front, or went: meanwhile time does not count. */
  behind(away: boolean): void {
    this.clock.behind(away);
  }

  /** The first open question, and with it how far one is. */
  private async first(): Promise<StudyQuestion> {
    const next = await this.questions.ask();
    this.progress = { answered: next.answered, total: next.total, open: next.trial?.position ?? next.total };
    return next;
  }

  /** Show the question at a place, once all its pictures are there; then fetch the one after it. */
  private async go(place: number): Promise<void> {
    const { total, open } = this.progress;
    this.busy = true;
    try {
      if (place >= total) return this.end();
      this.draw(await this.questions.load(place));
      this.questions.keepNear(place, open);
      this.prepare(place + 1);
    } catch (error) {
      this.questions.forget(place);
      this.page.failed(error);
    } finally {
      this.busy = false;
    }
  }

  /** Fetch what comes next. Where that fails, it is asked for again when it is wanted. */
  private prepare(place: number): void {
    if (place >= this.progress.total) return;
    this.questions.load(place).then(
      () => (this.root.dataset.next = String(place)),
      () => undefined,
    );
  }

  private back(): Promise<void> {
    if (this.busy) return Promise.resolve();
    const place = this.shown ? this.shown.trial.position : this.progress.total;
    return place > 0 ? this.go(place - 1) : Promise.resolve();
  }

  /** Keep an answer; the question stays until the server has it. */
  private async answer(answer: number): Promise<void> {
    const { shown, person } = this;
    const seconds = Math.min(LONGEST, this.clock.seconds);
    if (!shown || this.busy || !this.clock.begun) return;
    const { position: place, maps, kind } = shown.trial;
    this.busy = true;
    this.stage.mark(answer, kind === "pair");
    try {
      const kept = await post<StudyProgress>("/api/study/answer", { person, position: place, maps, answer, seconds });
      shown.trial = { ...shown.trial, answer };
      this.progress.answered = kept.answered;
      if (place === this.progress.open) this.progress.open += 1;
    } catch (error) {
      this.stage.mark(shown.trial.answer, kind === "pair");
      this.page.say(`Not saved. ${(error as Error).message}`, "error");
      return;
    } finally {
      this.busy = false;
    }
    this.page.say("");
    if (await this.isOpen()) await this.go(this.progress.open);
  }

  /** Whether the next question is open indeed: some may have been answered elsewhere. Else the server says which is. */
  private async isOpen(): Promise<boolean> {
    const { answered, total, open } = this.progress;
    try {
      const next = open < total ? await this.questions.load(open) : null;
      if (next ? next.trial.answer !== null : answered < total) await this.first();
      return true;
    } catch (error) {
      this.page.failed(error);
      return false;
    }
  }

  /** The clock begins when the pictures are on the screen. */
  private draw(loaded: Loaded): void {
    this.clock.stop();
    this.shown = loaded;
    this.stage.draw(loaded, this.progress);
    delete this.root.dataset.drawn;
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (this.shown !== loaded) return;
        this.clock.begin();
        this.root.dataset.drawn = `trial ${loaded.trial.position}`;
      }),
    );
  }

  private stop(): void {
    this.shown = null;
    this.clock.stop();
    this.leave();
  }

  private end(): void {
    this.shown = null;
    this.clock.stop();
    const other = (): void => {
      forget();
      this.stop();
    };
    fill(
      this.element,
      h(
        "section",
        { class: "card end" },
        h("h2", { tabindex: -1 }, `All questions are answered, ${this.person}. Thank you.`),
        h("p", {}, `All ${this.progress.total} answers are saved.`),
        h(
          "div",
          { class: "row" },
          h("button", { class: "main", onclick: () => this.stop() }, "Start page of the study"),
          h("button", { onclick: () => void this.mend() }, "Last question"),
          h("button", { onclick: other }, "Change participant"),
        ),
      ),
    );
    this.root.dataset.drawn = "end";
    this.focus();
  }

  private async mend(): Promise<void> {
    await this.go(this.progress.total - 1);
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
