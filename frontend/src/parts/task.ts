// Long work on the page: one at a time, with a bar that shows how far it is and a button that stops it.

import { Failed, type Hears, stream, wasStopped } from "../api";
import { fill, h } from "../dom";
import type { Page } from "../page";

export class Task {
  readonly element = h("div", { class: "task" });
  private running: AbortController | null = null;

  constructor(
    private readonly page: Page,
    private readonly what: string,
  ) {}

  /** Ask the server; null where it failed (which is said) or was stopped. What ran before is stopped. */
  async run<T>(path: string, body: unknown, event?: Hears["event"]): Promise<T | null> {
    this.stop();
    const running = (this.running = new AbortController());
    const bar = h("progress", { "aria-label": this.what });
    fill(this.element, h("span", {}, `${this.what} …`), bar, h("button", { onclick: () => this.stop() }, "Stop"));
    const progress = (done: number, total: number): void => {
      bar.max = total;
      bar.value = done;
    };
    try {
      return await stream<T>(path, body, event ? { progress, event } : { progress }, running.signal);
    } catch (error) {
      if (!wasStopped(error)) this.page.say((error as Failed).message, "error");
      return null;
    } finally {
      if (this.running === running) {
        this.running = null;
        fill(this.element);
      }
    }
  }

  stop(): void {
    this.running?.abort();
    this.running = null;
    fill(this.element);
  }
}
