// Doubt.

import { fill, h } from "../dom";
import type { Page, Tab } from "../page";

export const doubt: Tab = { name: "doubt", title: "Doubt", mount };

function mount(root: HTMLElement, page: Page): void {
  fill(root, h("p", {}, page.start.data.name));
}
