// Study.

import { fill, h } from "../dom";
import type { Page, Tab } from "../page";

export const study: Tab = { name: "study", title: "Study", mount };

function mount(root: HTMLElement, page: Page): void {
  fill(root, h("p", {}, page.start.data.name));
}
