// Long work on the page: one at a time, with a bar that shows how far it is and a button that stops it.

import { isAborted } from "../api/http";
import { type Listener, stream } from "../api/stream";
import { fill, h } from "../dom";
import { Turns } from "../turns";
import { Trouble } from "./trouble";

/** A bar that shows how far something is, and a button that stops it. */
export function progress(what: string, stop: () => void): { element: HTMLElement; set: NonNullable<Listener["progress"]> } {
  const bar = h("progress", { "aria-label": what });
  return {
    element: h("div", { class: "progress" }, h("span", {}, `${what} …`), bar, h("button", { onclick: stop }, "Stop")),
    set(done, total) {
      bar.max = total;
      bar.value = done;
    },
  };
}

export class Task {
  /** Empty while nothing runs and nothing has failed. */
  readonly element = h("div", { class: "task" });
  private readonly turns = new Turns();

  constructor(private readonly what: string) {}

  /** Ask the server; null where it failed (which is said in its place) or was stopped. What ran before is stopped. */
  async run<T>(path: string, body: unknown, event?: Listener["event"]): Promise<T | null> {
    try {
      return await this.follow((hears, signal) => stream<T>(path, body, event ? { ...hears, event } : hears, signal));
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
      return null;
    }
  }

  /** The same for anything that tells how far it is; its failures are the caller's. */
  async follow<T>(ask: (hears: Listener, signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = this.turns.begin();
    const bar = progress(this.what, () => this.stop());
    fill(this.element, bar.element);
    try {
      return await ask({ progress: bar.set }, signal);
    } finally {
      if (this.turns.done(signal)) fill(this.element);
    }
  }

  stop(): void {
    this.turns.end();
    fill(this.element);
  }

  private fail(error: unknown): void {
    const trouble = new Trouble();
    fill(this.element, trouble.element);
    trouble.tell(error);
  }
}
