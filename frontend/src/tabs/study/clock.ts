// How long a question was displayed, without the time when it was out of sight.

export class Clock {
  private since: number | null = null;
  private sum = 0;
  begun = false;

  private readonly turned = (): void => this.turn();

  constructor() {
    document.addEventListener("visibilitychange", this.turned);
  }

  close(): void {
    document.removeEventListener("visibilitychange", this.turned);
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
