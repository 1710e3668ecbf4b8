// The session of a participant: which question is displayed, and the answers, which are saved one by one.

import { batch, signal } from "@preact/signals";
import { post } from "../../api/http";
import { say, sayError } from "../../state/app";
import { Clock } from "./clock";
import { type Loaded, Questions } from "./questions";
import type { StudyProgress } from "./schemas";

const PAIR_KEYS: Record<string, number> = { ArrowLeft: 1, 1: 1, f: 1, ArrowRight: 2, 2: 2, j: 2 };
/** Seconds: longer than this nobody looks at a question. */
const MAX_SECONDS = 3600;

/** How far a participant is; `open` is the position of the first question without an answer. */
export interface Progress {
  answered: number;
  total: number;
  open: number;
}

/** The answers of one participant; it stays while another tab is displayed. */
export class Session {
  readonly clock = new Clock();
  private readonly questions: Questions;
  readonly progress = signal<Progress>({ answered: 0, total: 0, open: 0 });
  readonly shown = signal<Loaded | null>(null);
  readonly ended = signal(false);
  /** An answer that is being saved. */
  readonly pending = signal<number | null>(null);
  /** What is on the screen: "trial 3", "end", or "" while it changes. */
  readonly drawn = signal("");
  /** The position of the question that is ready to be displayed next. */
  readonly prepared = signal("");
  private busy = false;
  private started = false;

  constructor(readonly person: string) {
    this.questions = new Questions(person);
  }

  close(): void {
    this.shown.value = null;
    this.clock.close();
  }

  /** Display the first open question, unless one is displayed already; `leave` if there is none because of an error. */
  async start(leave: () => void): Promise<void> {
    if (this.started) return;
    this.started = true;
    try {
      const position = await this.findOpen();
      if (position === null) this.end();
      else await this.go(position);
    } catch (error) {
      sayError(error);
      leave();
    }
  }

  /** Ask the server for the first open question, and how far the participant is. */
  private async findOpen(): Promise<number | null> {
    const next = await this.questions.ask();
    this.progress.value = { answered: next.answered, total: next.total, open: next.trial?.position ?? next.total };
    return next.trial?.position ?? null;
  }

  private end(): void {
    batch(() => {
      this.shown.value = null;
      this.ended.value = true;
    });
    this.clock.forget();
  }

  /** Display the question at a position once all its images are there; then fetch the one after it. */
  async go(position: number): Promise<void> {
    const { total, open } = this.progress.peek();
    this.busy = true;
    try {
      if (position >= total) return this.end();
      const loaded = await this.questions.load(position);
      batch(() => {
        this.shown.value = loaded;
        this.ended.value = false;
      });
      this.questions.keepNear(position, open);
      this.prepare(position + 1);
    } catch (error) {
      this.questions.forget(position);
      sayError(error);
    } finally {
      this.busy = false;
    }
  }

  private prepare(position: number): void {
    if (position >= this.progress.peek().total) return;
    this.questions.load(position).then(
      () => (this.prepared.value = String(position)),
      () => {}, // requested again when it is needed
    );
  }

  async back(): Promise<void> {
    const position = this.shown.peek()?.trial.position ?? this.progress.peek().total;
    if (!this.busy && position > 0) await this.go(position - 1);
  }

  /** Save an answer; the question stays until the server has it. */
  async answer(answer: number): Promise<void> {
    const { person } = this;
    const shown = this.shown.peek();
    const seconds = Math.min(MAX_SECONDS, this.clock.seconds);
    if (!shown || this.busy || !this.clock.begun) return;
    const { position, maps } = shown.trial;
    this.busy = true;
    this.pending.value = answer;
    try {
      const saved = await post<StudyProgress>("/api/study/answer", { person, position, maps, answer, seconds });
      shown.trial = { ...shown.trial, answer };
      const { open, total } = this.progress.peek();
      this.progress.value = { answered: saved.answered, total, open: position === open ? open + 1 : open };
    } catch (error) {
      say(`Not saved. ${(error as Error).message}`, "error");
      return;
    } finally {
      this.pending.value = null;
      this.busy = false;
    }
    say("");
    if (await this.isOpen()) await this.go(this.progress.peek().open);
  }

  /** Whether the next question is really open; some may have been answered in another window. */
  private async isOpen(): Promise<boolean> {
    const { answered, total, open } = this.progress.peek();
    try {
      const next = open < total ? await this.questions.load(open) : null;
      if (next ? next.trial.answer !== null : answered < total) await this.findOpen();
      return true;
    } catch (error) {
      sayError(error);
      return false;
    }
  }

  press(event: KeyboardEvent): void {
    const trial = this.shown.peek()?.trial;
    if (!trial) return;
    const target = event.target as Element;
    if (event.repeat && target.closest?.(".pick")) event.preventDefault(); // a key that is held is one answer
    if (event.repeat || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (target.closest?.("input, select, textarea, #top")) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (name === "Backspace") {
      event.preventDefault();
      void this.back();
      return;
    }
    const answer = trial.kind === "pair" ? PAIR_KEYS[name] : /^[1-5]$/.test(name) ? Number(name) : undefined;
    if (answer === undefined) return;
    event.preventDefault();
    void this.answer(answer);
  }
}
