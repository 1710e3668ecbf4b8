// The session of a participant: which question is displayed, and the answers, which are saved one by one.

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

/** What displays a session. */
interface Display {
  changed: () => void;
  leave: () => void;
  /** The question that is ready to be displayed next. */
  prepared: (position: string) => void;
}

const nothing = (): void => {};
const NO_DISPLAY: Display = { changed: nothing, leave: nothing, prepared: nothing };

/** The answers of one participant; it stays while another tab is displayed. */
export class Session {
  readonly clock = new Clock();
  private readonly questions: Questions;
  progress: Progress = { answered: 0, total: 0, open: 0 };
  shown: Loaded | null = null;
  ended = false;
  /** An answer that is being saved. */
  pending: number | null = null;
  private busy = false;
  private started = false;
  /** What displays it, if anything does. */
  private display: Display = NO_DISPLAY;

  constructor(readonly person: string) {
    this.questions = new Questions(person);
  }

  /** Display the session; returns how to stop that. */
  attach(display: Display): () => void {
    this.display = display;
    if (!this.started) void this.start();
    return () => {
      this.display = NO_DISPLAY;
      this.clock.pause();
    };
  }

  close(): void {
    this.shown = null;
    this.clock.close();
  }

  private async start(): Promise<void> {
    this.started = true;
    try {
      const position = await this.findOpen();
      if (position === null) this.end();
      else await this.go(position);
    } catch (error) {
      sayError(error);
      this.started = false;
      this.display.leave();
    }
  }

  /** Ask the server for the first open question, and how far the participant is. */
  private async findOpen(): Promise<number | null> {
    const next = await this.questions.ask();
    this.progress = { answered: next.answered, total: next.total, open: next.trial?.position ?? next.total };
    return next.trial?.position ?? null;
  }

  private end(): void {
    this.shown = null;
    this.ended = true;
    this.clock.forget();
    this.display.changed();
  }

  /** Display the question at a position once all its images are there; then fetch the one after it. */
  async go(position: number): Promise<void> {
    this.busy = true;
    try {
      if (position >= this.progress.total) return this.end();
      const loaded = await this.questions.load(position);
      this.shown = loaded;
      this.ended = false;
      this.display.changed();
      this.questions.keepNear(position, this.progress.open);
      this.prepare(position + 1);
    } catch (error) {
      this.questions.forget(position);
      sayError(error);
    } finally {
      this.busy = false;
    }
  }

  private prepare(position: number): void {
    if (position >= this.progress.total) return;
    this.questions.load(position).then(
      () => this.display.prepared(String(position)),
      () => {}, // requested again when it is needed
    );
  }

  async back(): Promise<void> {
    const position = this.shown ? this.shown.trial.position : this.progress.total;
    if (!this.busy && position > 0) await this.go(position - 1);
  }

  /** Save an answer; the question stays until the server has it. */
  async answer(answer: number): Promise<void> {
    const { shown, person } = this;
    const seconds = Math.min(MAX_SECONDS, this.clock.seconds);
    if (!shown || this.busy || !this.clock.begun) return;
    const { position, maps } = shown.trial;
    this.busy = true;
    this.pending = answer;
    this.display.changed();
    try {
      const saved = await post<StudyProgress>("/api/study/answer", { person, position, maps, answer, seconds });
      shown.trial = { ...shown.trial, answer };
      this.progress.answered = saved.answered;
      if (position === this.progress.open) this.progress.open += 1;
    } catch (error) {
      say(`Not saved. ${(error as Error).message}`, "error");
      return;
    } finally {
      this.pending = null;
      this.busy = false;
      this.display.changed();
    }
    say("");
    if (await this.isOpen()) await this.go(this.progress.open);
  }

  /** Whether the next question is really open; some may have been answered in another window. */
  private async isOpen(): Promise<boolean> {
    const { answered, total, open } = this.progress;
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
    if (!this.shown) return;
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
    const answer = this.shown.trial.kind === "pair" ? PAIR_KEYS[name] : /^[1-5]$/.test(name) ? Number(name) : undefined;
    if (answer === undefined) return;
    event.preventDefault();
    void this.answer(answer);
  }
}
