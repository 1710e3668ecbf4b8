// Compare.

import { fill, h } from "../dom";
import type { Page, Tab } from "../page";

export const compare: Tab = { name: "compare", title: "Compare", mount };

function mount(root: HTMLElement, page: Page): void {
  fill(root, h("p", {}, page.start.data.name));
}
