// Asking again and again while something is dragged: one question at a time, and of those that wait only the last.

import { post, isAborted } from "../../api/http";

const PATIENCE = 300;

export class Latest<Q, T> {
  private running: AbortController | null = null;
  private waiting: Q | null = null;
  private timer = 0;

  constructor(
    private readonly path: string,
    /** Told what was asked, too: by now somebody may want something else. */
    private readonly got: (answer: T, asked: Q) => void,
    private readonly failed: (error: Error) => void,
    private readonly busy: (now: boolean) => void,
  ) {}

  /** Ask, or be next. A slow question waits until nothing moves any more, and stops what runs. */
  ask(body: Q, slow = false): void {
    this.waiting = body;
    clearTimeout(this.timer);
    if (!slow) {
      if (!this.running) void this.next();
      return;
    }
    this.running?.abort();
    this.timer = window.setTimeout(() => void this.next(), PATIENCE);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.waiting = null;
    this.running?.abort();
    this.running = null;
    this.busy(false);
  }

  private async next(): Promise<void> {
    const body = this.waiting;
    if (body === null) return;
    this.waiting = null;
    const mine = (this.running = new AbortController());
    this.busy(true);
    try {
      const answer = await post<T>(this.path, body, mine.signal);
      if (this.running === mine) this.got(answer, body);
    } catch (error) {
      if (this.running === mine && !isAborted(error)) this.failed(error as Error);
    }
    if (this.running !== mine) return;
    this.running = null;
    this.busy(false);
    void this.next();
  }
}
