// One question after the other; each answer is saved at once. By keys, pointer or thumb.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { post } from "../../api/http";
import { say, sayError } from "../../state/app";
import { Clock } from "./clock";
import { QuestionStage } from "./question_stage";
import { type Loaded, Questions } from "./questions";
import type { StudyProgress } from "./schemas";
import { forgetPerson } from "./welcome";

const PAIR_KEYS: Record<string, number> = { ArrowLeft: 1, 1: 1, f: 1, ArrowRight: 2, 2: 2, j: 2 };
/** Seconds: longer than this nobody looks at a question. */
const MAX_SECONDS = 3600;

/** How far a participant is; `open` is the position of the first question without an answer. */
export interface Progress {
  answered: number;
  total: number;
  open: number;
}

interface Props {
  person: string;
  leave: () => void;
  /** What is on the screen: "trial 3", "end", or "" while it changes. */
  drawn: (what: string) => void;
  /** The question that is ready to be displayed next. */
  prepared: (position: string) => void;
}

export function QuestionView({ person, leave, drawn, prepared }: Props) {
  const session = useRef<Session | null>(null);
  const [, render] = useState(0);
  session.current ??= new Session(person, () => render((n) => n + 1), leave, prepared);
  const now = session.current;
  useEffect(() => {
    void now.start();
    const press = (event: KeyboardEvent): void => now.press(event);
    document.addEventListener("keydown", press);
    return () => {
      document.removeEventListener("keydown", press);
      now.close();
    };
  }, []);
  const { shown, ended, progress } = now;
  // The clock starts when the images are on the screen.
  useLayoutEffect(() => {
    if (ended) return drawn("end");
    drawn("");
    if (!shown) return;
    let wanted = true;
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (!wanted) return;
        now.clock.begin();
        drawn(`trial ${shown.trial.position}`);
      }),
    );
    return () => {
      wanted = false;
      now.clock.stop();
    };
  }, [shown, ended]);
  if (ended) return <End person={person} total={progress.total} back={() => now.go(progress.total - 1)} leave={leave} />;
  if (!shown) return null;
  return (
    <QuestionStage
      loaded={shown}
      progress={progress}
      answer={now.pending ?? shown.trial.answer}
      choose={(answer) => void now.answer(answer)}
      back={() => void now.back()}
      onward={() => void now.go(progress.open)}
      stop={leave}
    />
  );
}

function End({ person, total, back, leave }: { person: string; total: number; back: () => void; leave: () => void }) {
  const title = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => title.current!.focus(), []);
  return (
    <section class="card end">
      <h2 tabIndex={-1} ref={title}>{`All questions are answered, ${person}. Thank you.`}</h2>
      <p>{`All ${total} answers are saved.`}</p>
      <div class="row">
        <button class="main" onClick={leave}>
          Start page of the study
        </button>
        <button onClick={back}>Last question</button>
        <button
          onClick={() => {
            forgetPerson();
            leave();
          }}
        >
          Change participant
        </button>
      </div>
    </section>
  );
}

/** The answers of one participant. */
class Session {
  readonly clock = new Clock();
  private readonly questions: Questions;
  progress: Progress = { answered: 0, total: 0, open: 0 };
  shown: Loaded | null = null;
  ended = false;
  /** An answer that is being saved. */
  pending: number | null = null;
  private busy = false;

  constructor(
    private readonly person: string,
    private readonly changed: () => void,
    private readonly leave: () => void,
    private readonly prepared: (position: string) => void,
  ) {
    this.questions = new Questions(person);
  }

  close(): void {
    this.shown = null;
    this.clock.close();
  }

  async start(): Promise<void> {
    try {
      const position = await this.findOpen();
      if (position === null) this.end();
      else await this.go(position);
    } catch (error) {
      sayError(error);
      this.leave();
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
    this.changed();
  }

  /** Display the question at a position once all its images are there; then fetch the one after it. */
  async go(position: number): Promise<void> {
    this.busy = true;
    try {
      if (position >= this.progress.total) return this.end();
      const loaded = await this.questions.load(position);
      this.shown = loaded;
      this.ended = false;
      this.changed();
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
      () => this.prepared(String(position)),
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
    this.changed();
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
      this.changed();
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
