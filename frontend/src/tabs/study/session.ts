// The session of a participant: which question is displayed, and the answers, which are saved one by one.

import { batch, signal } from "@preact/signals";
import { get, post } from "../../api/http";
import { decodeImage } from "../../api/images";
import type { Schemas } from "../../api/types";
import { isTiny } from "../../shared/photo";
import { say, sayError } from "../../state/app";

const PAIR_KEYS: Record<string, number> = { ArrowLeft: 1, 1: 1, f: 1, ArrowRight: 2, 2: 2, j: 2 };
/** Seconds: longer than this nobody looks at a question. */
const MAX_SECONDS = 3600;
/** Questions that are kept around the displayed one. */
const KEPT = 3;

/** How far a participant is; `open` is the position of the first question without an answer. */
interface Progress {
  answered: number;
  total: number;
  open: number;
}

/** A question with its images, decoded: they are displayed at once. */
interface Loaded {
  trial: Schemas["StudyTrial"];
  original: HTMLImageElement;
  maps: HTMLImageElement[];
}

/** How long a question was displayed, without the time when it was out of sight. */
class Clock {
  /** Whether a question is on the screen. */
  begun = false;
  private question: object | null = null;
  private since: number | null = null;
  private sum = 0;

  /** A question is on the screen; the time of one that was left for another tab goes on. */
  begin(question: object): void {
    this.pause();
    if (question !== this.question) this.sum = 0;
    this.question = question;
    this.begun = true;
    this.turn();
  }

  /** `forget`: the same question begins anew. */
  pause(forget = false): void {
    this.begun = false;
    this.turn();
    if (forget) this.question = null;
  }

  readonly turn = (): void => {
    const now = performance.now();
    if (this.since !== null) this.sum += now - this.since;
    this.since = this.begun && !document.hidden ? now : null;
  };

  get seconds(): number {
    this.turn();
    return this.sum / 1000;
  }
}

/** The answers of one participant; it stays while another tab is displayed. */
export class Session {
  readonly clock = new Clock();
  readonly progress = signal<Progress>({ answered: 0, total: 0, open: 0 });
  readonly shown = signal<Loaded | null>(null);
  readonly ended = signal(false);
  /** An answer that is being saved. */
  readonly pending = signal<number | null>(null);
  /** What is on the screen: "trial 3", "end", or "" while it changes. */
  readonly drawn = signal("");
  /** The position of the question that is ready to be displayed next. */
  readonly prepared = signal("");
  private readonly loaded = new Map<number, Promise<Loaded>>();
  private busy = false;
  private started = false;

  constructor(readonly person: string) {
    document.addEventListener("visibilitychange", this.clock.turn);
  }

  close(): void {
    this.shown.value = null;
    document.removeEventListener("visibilitychange", this.clock.turn);
  }

  /** Display the first open question, unless one is displayed already; `leave` if there is none because of an error. */
  async start(leave: () => void): Promise<void> {
    if (this.started) return;
    this.started = true;
    try {
      await this.findOpen();
      await this.go(this.progress.peek().open);
    } catch (error) {
      sayError(error);
      leave();
    }
  }

  /** Ask the server for the question at a position; else for the first open one. */
  private ask(position?: number): Promise<Schemas["StudyQuestion"]> {
    const where = new URLSearchParams({ person: this.person, ...(position !== undefined && { position: String(position) }) });
    return get(`/api/study/next?${where}`);
  }

  /** Ask the server for the first open question, and how far the participant is. */
  private async findOpen(): Promise<void> {
    const { answered, total, trial } = await this.ask();
    this.progress.value = { answered, total, open: trial?.position ?? total };
    if (trial) this.loaded.set(trial.position, withImages(trial));
  }

  /** The question at a position, once all its images are there. */
  private load(position: number): Promise<Loaded> {
    const known = this.loaded.get(position);
    if (known) return known;
    const loading = this.ask(position).then(({ trial }) => {
      if (!trial) throw new Error("The study has changed. Reload the page.");
      return withImages(trial);
    });
    loading.catch(() => this.loaded.delete(position));
    this.loaded.set(position, loading);
    return loading;
  }

  private show(loaded: Loaded | null): void {
    batch(() => {
      this.shown.value = loaded;
      this.ended.value = loaded === null;
    });
    if (!loaded) this.clock.pause(true);
  }

  /** Display the question at a position once all its images are there; then fetch the one after it. */
  async go(position: number): Promise<void> {
    const { total, open } = this.progress.peek();
    if (position >= total) return this.show(null);
    this.busy = true;
    try {
      this.show(await this.load(position));
      for (const kept of [...this.loaded.keys()])
        if (Math.abs(kept - position) > KEPT && kept !== open) this.loaded.delete(kept);
      if (position + 1 < total)
        this.load(position + 1).then(
          () => (this.prepared.value = String(position + 1)),
          () => {}, // requested again when it is needed
        );
    } catch (error) {
      this.loaded.delete(position);
      sayError(error);
    } finally {
      this.busy = false;
    }
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
      const saved = await post<Schemas["StudyProgress"]>("/api/study/answer", { person, position, maps, answer, seconds });
      shown.trial = { ...shown.trial, answer };
      const { open, total } = this.progress.peek();
      this.progress.value = { answered: saved.answered, total, open: position === open ? open + 1 : open };
    } catch (error) {
      return say(`Not saved. ${(error as Error).message}`, "error");
    } finally {
      this.pending.value = null;
      this.busy = false;
    }
    say("");
    try {
      // Some of the next questions may have been answered in another window.
      const { answered, total, open } = this.progress.peek();
      const next = open < total ? await this.load(open) : null;
      if (next ? next.trial.answer !== null : answered < total) await this.findOpen();
      await this.go(this.progress.peek().open);
    } catch (error) {
      sayError(error);
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
    const answer = trial.kind === "pair" ? PAIR_KEYS[name] : /^[1-5]$/.test(name) ? Number(name) : undefined;
    if (name !== "Backspace" && answer === undefined) return;
    event.preventDefault();
    void (answer === undefined ? this.back() : this.answer(answer));
  }
}

async function withImages(trial: Schemas["StudyTrial"]): Promise<Loaded> {
  const load = async (id: string): Promise<HTMLImageElement> => {
    const image = await decodeImage(`/api/study/images/${id}`).catch(() => {
      throw new Error("An image of the study cannot be displayed (any more). Is its folder complete?");
    });
    if (isTiny(image)) image.className = "tiny";
    return image;
  };
  const [original, ...maps] = await Promise.all([trial.original, ...trial.maps].map(load));
  return { trial, original: original!, maps };
}
