// Of several questions about one thing only the last counts.

export class Turns {
  private running: AbortController | null = null;

  /** Begin one; what ran before is stopped. Its signal goes with the question, and says `aborted` once it is over. */
  begin(): AbortSignal {
    this.end();
    this.running = new AbortController();
    return this.running.signal;
  }

  /** Nobody waits any more. */
  end(): void {
    this.running?.abort();
    this.running = null;
  }

  /** Stop it, but let it still count: what came of it so far is wanted. */
  halt(): void {
    this.running?.abort();
  }

  /** The signal of the last one, while it has no answer. */
  get now(): AbortSignal | null {
    return this.running?.signal ?? null;
  }

  /** This one has its answer; true if it was the last one begun. */
  done(signal: AbortSignal): boolean {
    if (this.now !== signal) return false;
    this.running = null;
    return true;
  }

  /** Whether an answer is on its way. */
  get waiting(): boolean {
    return this.running !== null;
  }
}
