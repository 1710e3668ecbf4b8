// What the parts of this tab share: what they are about, and what one of them is.

import type { ExplainResponse as Answer, MapOut } from "../../api/types";
import type { Field } from "../../maps/field";
import type { Doubt } from "./wire";

/** The map in question. */
export interface Now {
  /** What every question of this tab names. */
  doubt: Doubt;
  image: HTMLImageElement;
  answer: Answer;
  made: MapOut;
  field: Field;
  /** Whether the method runs the network so often that nobody should ask without wanting to. */
  slow: boolean;
}

export interface Part {
  /** In addresses. */
  name: string;
  title: string;
  element: HTMLElement;
  /** It is to be seen, about this map; the same one again if it was hidden in between. */
  show(now: Now): void;
  /** Only paint otherwise. */
  paint(): void;
  /** Another part is: stop what nobody watches. */
  hide(): void;
}
