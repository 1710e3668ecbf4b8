// Activations.

import { fill, h } from "../dom";
import type { Page, Tab } from "../page";

export const activations: Tab = { name: "activations", title: "Activations", mount };

function mount(root: HTMLElement, page: Page): void {
  fill(root, h("p", {}, page.start.data.name));
}
