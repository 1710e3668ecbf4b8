// The map of an answer, ready to be painted.

import type { Answer } from "../../api/types";
import { Field } from "../../maps/field";

const fields = new WeakMap<object, Field>();

/** The answer's map, ready to be painted; made once. */
export function fieldOf(answer: Answer): Field {
  const map = answer.maps[0]!;
  const known = fields.get(map);
  if (known) return known;
  const made = Field.of(map, answer.geometry);
  fields.set(map, made);
  return made;
}
