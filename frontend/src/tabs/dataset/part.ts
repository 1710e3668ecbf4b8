// What a part of this tab is.

import type { Kind, RunInfo } from "./wire";

/** One view of a run. */
export interface Part {
  name: string;
  title: string;
  /** Runs that have something for it. */
  kind: Kind;
  element: HTMLElement;
  /** It is in front, with this run; called again when anything in the address changes. */
  show(run: RunInfo): void;
  /** Stop what nobody watches. */
  hide(): void;
}
