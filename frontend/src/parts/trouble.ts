// What failed, said beside it: read out, and with a way on where there is one.

import { isAborted } from "../api/http";
import { type Child, fill, h } from "../dom";

export class Trouble {
  readonly element = h("div", { class: "trouble", role: "alert" });

  /** Say it; that nobody wanted the answer any more is no trouble. */
  tell(error: unknown, ...ways: Child[]): void {
    if (!isAborted(error)) this.say((error as Error).message, ...ways);
  }

  say(text: string, ...ways: Child[]): void {
    fill(this.element, h("p", {}, text.charAt(0).toUpperCase() + text.slice(1)), ...ways);
  }

  clear(): void {
    if (this.element.firstChild) fill(this.element);
  }
}
