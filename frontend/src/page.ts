// What every tab is given, and what a tab is.

import type { ModelChoice, Start } from "./api/types";
import type { Look, Painter } from "./maps/painter";
import type { Store } from "./view";

export interface Page {
  start: Start;
  store: Store;
  painter: Painter;
  /** Say something to everybody, those who cannot see included; errors stay until the next word. */
  say(text: string, kind?: "told" | "error"): void;
  /** Say what failed where there is no place beside it; that nobody wanted an answer any more is no failure. */
  failed(error: unknown): void;
}

export interface Tab {
  /** In addresses and ids. */
  name: string;
  title: string;
  /** Build it, once, when it is first shown. */
  mount(root: HTMLElement, page: Page): Mounted;
}

export interface Mounted {
  /** It has just come to the front, also the first time. */
  show(): void;
  /** Another one has: stop what nobody watches. */
  hide(): void;
}

/** The model of the view. */
export function modelOf(page: Page, name = page.store.view.model): ModelChoice {
  return page.start.models.find((model) => model.name === name) ?? page.start.models[0]!;
}

/** How maps are painted now. */
export function lookOf(page: Page): Look {
  const { opacity, colormap, threshold, contour, blend } = page.store.view;
  return { opacity, colormap, threshold, contour, blend };
}
