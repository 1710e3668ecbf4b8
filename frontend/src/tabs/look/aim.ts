// What is asked about classes: why one, rather than another, or what speaks against it.

/** What is asked about classes: why `one`, rather than `other`, or what speaks against it. null: the predicted class. */
export interface Aim {
  one: number | null;
  other: number | null;
  against: boolean;
}

/** Reads a target; null for one that was written by hand. */
export function aimOf(target: string): Aim | null {
  const found = /^(not )?(\d+|predicted)?(?: rather than (\d+))?$/.exec(target);
  if (!found) return null;
  const [, against, one, other] = found;
  return { one: one && one !== "predicted" ? Number(one) : null, other: other ? Number(other) : null, against: !!against };
}

export function targetOf({ one, other, against }: Aim): string {
  const name = one === null ? "predicted" : String(one);
  if (other !== null) return `${name} rather than ${other}`;
  if (against) return `not ${name}`;
  return one === null ? "" : name;
}
