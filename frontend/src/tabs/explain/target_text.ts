// Targets as text: classes ("3 rather than 5"), parts of an image ("box 3: cat rather than dog", "class:bus at 12,8"), and
// texts that are compared with it ("text:a dog among a cat").

const CONTRAST = " rather than ";

/** A class, one class rather than another, or the evidence against a class. */
export interface Target {
  index: number | null;
  /** "A rather than B": the index of B. */
  other: number | null;
  negative: boolean;
}

export const PREDICTED: Target = { index: null, other: null, negative: false };

/** Read the target of a class; null for one that was written by hand in another way. */
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
  if (other !== null) return name + CONTRAST + other;
  if (negative) return `not ${name}`;
  return index === null ? "" : name;
}

/** A box, region or word, what is explained there, and what it is contrasted with; empty strings for what is not named. */
export interface TargetParts {
  /** "box 3", "word 2", "class:bus at 12,8". */
  base: string;
  /** "cat" of "box 3: cat". */
  name: string;
  other: string;
}

const AT_BASE = /^((?:box|word) \d+(?: token \d+)?)(?:: *(.*))?$/;
const AT_CLASS = /^class:(.+?)(?: rather than (.+?))?( at (-?[\d.]+, *-?[\d.]+))?$/;

/** The parts of a target; null for one that cannot be contrasted, such as an edge of a box. */
export function partsOf(spec: string): TargetParts | null {
  const [, region, rather = "", at = ""] = AT_CLASS.exec(spec) ?? [];
  if (region) return { base: `class:${region}${at}`, name: "", other: rather };
  const [, base, named = ""] = AT_BASE.exec(spec) ?? [];
  const [name = "", other = ""] = named.split(CONTRAST);
  return base ? { base, name: name.trim(), other: other.trim() } : null;
}

/**
 * A target with something else that it is contrasted with; none for "".
 *
 * `usual` is the name of what is at `base`: a contrast names both.
 */
export function withOther(spec: string, usual: string, other: string): string {
  const parts = partsOf(spec);
  if (!parts) return spec;
  const { base, name } = parts;
  const [, region, , at = ""] = AT_CLASS.exec(base) ?? [];
  if (region) return other ? `class:${region}${CONTRAST}${other}${at}` : base;
  if (other) return `${base}: ${name || usual}${CONTRAST}${other}`;
  return name && name !== usual ? `${base}: ${name}` : base;
}

/** The region of a target, "class:bus at 12,8": all pixels of a class, and the point that its part contains; null for other targets. */
export function regionOf(spec: string): { whole: string; point: [number, number] | null } | null {
  const [, region, , , at] = AT_CLASS.exec(spec) ?? [];
  return region ? { whole: `class:${region}`, point: at ? (at.split(",").map(Number) as [number, number]) : null } : null;
}

/** Whether a target is at a box, region or word: "box 3: cat" is at "box 3". */
export const isAt = (target: string, spec: string): boolean =>
  spec !== "" && (target === spec || partsOf(target)?.base === spec);

export interface Prompt {
  text: string;
  /** "A rather than B". */
  other: string;
  /** Texts that compete with it, separated by commas. */
  among: string;
}

export const isPrompt = (target: string): boolean => /^\s*(not\s+)?text:/.test(target);

export function promptOf(target: string): Prompt {
  const [contrast = "", ...among] = (/^\s*text:(.*)$/s.exec(target)?.[1] ?? "").split(" among ");
  const [text = "", other = ""] = contrast.split(CONTRAST);
  return { text: text.trim(), other: other.trim(), among: among.join(" among ").trim() };
}

export const promptText = ({ text, other, among }: Prompt): string =>
  text && `text:${text}${other ? CONTRAST + other : ""}${among ? ` among ${among}` : ""}`;
