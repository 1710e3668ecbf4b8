// What is explained: a class, one class rather than another, or the evidence against a class; and its text in requests.

/** null for `index`: the predicted class. */
export interface Target {
  index: number | null;
  /** "A rather than B": the index of B. */
  other: number | null;
  negative: boolean;
}

export const PREDICTED: Target = { index: null, other: null, negative: false };

/** Read a target; null for one that was written by hand in another way. */
export function parseTarget(text: string): Target | null {
  const found = /^(not )?(\d+|predicted)?(?: rather than (\d+))?$/.exec(text);
  if (!found) return null;
  const [, negative, index, other] = found;
  return {
    index: index && index !== "predicted" ? Number(index) : null,
    other: other ? Number(other) : null,
    negative: Boolean(negative),
  };
}

export function targetText({ index, other, negative }: Target): string {
  const name = index === null ? "predicted" : String(index);
  if (other !== null) return `${name} rather than ${other}`;
  if (negative) return `not ${name}`;
  return index === null ? "" : name;
}
