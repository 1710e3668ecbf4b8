// How long somebody has looked: the time since it began, without the time when the question was out of sight.

export class Clock {
  private since: number | null = null;
  private sum = 0;
  private away = false;
  begun = false;

  constructor() {
    document.addEventListener("visibilitychange", () => this.turn());
  }

  begin(): void {
    this.stop();
    this.begun = true;
    this.turn();
  }

  stop(): void {
    this.begun = false;
    this.since = null;
    this.sum = 0;
  }

  /** Another tab of ours came to the front, or went. */
  behind(away: boolean): void {
    this.away = away;
    this.turn();
  }

  get seconds(): number {
    return (this.sum + (this.since === null ? 0 : performance.now() - this.since)) / 1000;
  }

  private turn(): void {
    const running = this.begun && !this.away && !document.hidden;
    if (!running && this.since !== null) {
      this.sum += performance.now() - this.since;
      this.since = null;
    } else if (running) this.since ??= performance.now();
  }
}
