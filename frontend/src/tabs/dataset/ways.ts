// Ways from an image of a run to the other tabs.

import { h } from "../../dom";
import type { Page } from "../../page";
import type { RunInfo } from "./wire";

/** Open a sample in another tab, with the run's model. */
export function open(page: Page, run: RunInfo, image: string, tab: "explain" | "trust" = "explain", target = ""): void {
  const model = run.served_model ?? page.store.view.model;
  const same = model === page.store.view.model;
  page.store.set({ tab, image, model, target, layer: same ? page.store.view.layer : "" }, true);
}

/** The same as buttons. */
export function ways(page: Page, run: RunInfo, image: string, name: string): HTMLElement[] {
  return [
    h("button", { "aria-label": `Explain ${name}`, onclick: () => open(page, run, image) }, "Explain"),
    h("button", { "aria-label": `Test the map of ${name}`, onclick: () => open(page, run, image, "trust") }, "Trust"),
  ];
}
