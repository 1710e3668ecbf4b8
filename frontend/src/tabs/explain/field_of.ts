// The map of a response, ready to be drawn.

import type { ExplainResponse } from "../../api/types";
import { Field } from "../../maps/field";

const fields = new WeakMap<object, Field>();

/** The first map of a response; decodeImage once. */
export function fieldOf(answer: ExplainResponse): Field {
  const map = answer.maps[0]!;
  const known = fields.get(map);
  if (known) return known;
  const made = Field.of(map, answer.geometry);
  fields.set(map, made);
  return made;
}
