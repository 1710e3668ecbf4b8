// Data set.

import { fill, h } from "../dom";
import type { Page, Tab } from "../page";

export const dataset: Tab = { name: "dataset", title: "Data set", mount };

function mount(root: HTMLElement, page: Page): void {
  fill(root, h("p", {}, page.start.data.name));
}
