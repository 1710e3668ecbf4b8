// How long a question was displayed, without the time when it was out of sight.

export class Clock {
  private since: number | null = null;
  private sum = 0;
  private question: object | null = null;
  begun = false;

  private readonly turned = (): void => this.turn();

  constructor() {
    document.addEventListener("visibilitychange", this.turned);
  }

  close(): void {
    document.removeEventListener("visibilitychange", this.turned);
  }

  /** A question is on the screen; the time of one that was left for another tab goes on. */
  begin(question: object): void {
    if (question !== this.question) this.forget();
    this.question = question;
    this.begun = true;
    this.turn();
  }

  pause(): void {
    this.begun = false;
    this.turn();
  }

  forget(): void {
    this.pause();
    this.question = null;
    this.sum = 0;
  }

  get seconds(): number {
    return (this.sum + (this.since === null ? 0 : performance.now() - this.since)) / 1000;
  }

  private turn(): void {
    const running = this.begun && !document.hidden;
    if (!running && this.since !== null) {
      this.sum += performance.now() - this.since;
      this.since = null;
    } else if (running) this.since ??= performance.now();
  }
}
