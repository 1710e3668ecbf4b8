// What the parts of this tab share: what they are about, and what one of them is.

import type { Answer, Doubt, Heat, Explained, Place } from "../../api";
import { Field, unpack } from "../../maps";

/** The map in question. */
export interface Now {
  /** What every question of this tab names. */
  doubt: Doubt;
  image: HTMLImageElement;
  answer: Answer;
  made: Explained;
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

export function fieldOf(heat: Heat): Field {
  return new Field(unpack(heat.map)[0]!, heat.place, heat.relu, heat.signed, heat.percentile);
}

/** How much of a picture: no finer than anybody sees. */
export const portion = (share: number): string =>
  share > 0 && share < 0.01 ? "less than 1 %" : `${Math.round(100 * share)} %`;

/** A picture that came inside an answer. */
export async function decoded(address: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** The network's input as a picture of its own. */
export function plainPlace(width: number, height: number): Place {
  return { original: [width, height], input: [width, height], scale: [1, 1], offset: [0, 0] };
}
