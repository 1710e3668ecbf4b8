// Long work about the map in question: it begins by itself where that is quick, else it waits behind a button.

import { fill, h } from "../../dom";
import { Task } from "../../parts/task";
import type { Now } from "./part";

/** Seconds that may pass without anybody having asked for it. */
const UNASKED = 8;

export interface Plan<T> {
  path: string;
  /** What is being done, in words; what the button says. */
  doing: string;
  button: string;
  /** What it tells, and how often the network runs for that. */
  question: string;
  /** How long that takes, about. */
  seconds(now: Now): number;
  /** Take away what was about another map. */
  clear(): void;
  /** What comes before the result. `wanted` tells whether it still is. */
  heard?(name: string, content: unknown, wanted: () => boolean): void;
  draw(found: T, wanted: () => boolean): Promise<void>;
}

export class Long<T> {
  readonly element: HTMLElement;
  private readonly start = h("div", { class: "start" });
  private readonly task: Task;
  private now: Now | null = null;
  private running = "";
  private shown = "";

  constructor(private readonly plan: Plan<T>) {
    this.task = new Task(plan.doing);
    this.element = h("div", {}, this.start, this.task.element);
  }

  /** About this map: nothing happens if that is shown or on its way. */
  show(now: Now): void {
    const about = JSON.stringify(now.doubt);
    this.now = now;
    if (about === this.shown || about === this.running) return;
    this.task.stop();
    this.running = this.shown = "";
    this.plan.clear();
    if (this.plan.seconds(now) <= UNASKED) void this.run(now);
    else this.offer(now);
  }

  /** Nobody watches any more. */
  hide(): void {
    if (this.running) this.plan.clear();
    this.running = "";
    this.task.stop();
  }

  private async run(now: Now): Promise<void> {
    const { plan } = this;
    const mine = (this.running = JSON.stringify(now.doubt));
    const wanted = (): boolean => this.running === mine;
    fill(this.start);
    const found = await this.task.run<T>(
      plan.path,
      now.doubt,
      (name, content) => wanted() && plan.heard?.(name, content, wanted),
    );
    if (!wanted()) return;
    if (found) await plan.draw(found, wanted);
    if (!wanted()) return;
    this.running = "";
    if (found) this.shown = mine;
    else this.offer(now);
  }

  private offer(now: Now): void {
    const seconds = Math.max(1, Math.round(this.plan.seconds(now)));
    fill(
      this.start,
      h("p", {}, `${this.plan.question}, about ${seconds} s here.`),
      h("button", { class: "main", onclick: () => void this.run(this.now ?? now) }, this.plan.button),
    );
  }
}
