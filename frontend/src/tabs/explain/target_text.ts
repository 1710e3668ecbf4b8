// Targets of one image in parts: "box 3: cat rather than dog", "class:bus rather than car at 12,8", "text:a dog among a cat".

/** A box, region or word, what is explained there, and what it is contrasted with; empty strings for what is not named. */
export interface TargetParts {
  /** "box 3", "word 2", "class:bus at 12,8". */
  base: string;
  /** "cat" of "box 3: cat". */
  name: string;
  other: string;
}

const AT_BASE = /^((?:box|word) \d+(?: token \d+)?)(?:: *(.*))?$/;
const AT_CLASS = /^class:(.+?)(?: rather than (.+?))?( at -?[\d.]+, *-?[\d.]+)?$/;
const CONTRAST = " rather than ";

/** The parts of a target; null for one that cannot be contrasted, such as an edge of a box. */
export function partsOf(spec: string): TargetParts | null {
  const region = AT_CLASS.exec(spec);
  if (region) return { base: `class:${region[1]}${region[3] ?? ""}`, name: "", other: region[2] ?? "" };
  const found = AT_BASE.exec(spec);
  if (!found) return null;
  const [name = "", other = ""] = (found[2] ?? "").split(CONTRAST);
  return { base: found[1]!, name: name.trim(), other: other.trim() };
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
  const region = AT_CLASS.exec(base);
  if (region) return other ? `class:${region[1]}${CONTRAST}${other}${region[3] ?? ""}` : base;
  if (other) return `${base}: ${name || usual}${CONTRAST}${other}`;
  return name && name !== usual ? `${base}: ${name}` : base;
}

/** The region of a target, "class:bus at 12,8": all pixels of a class, and the point that its part contains; null for other targets. */
export function regionOf(spec: string): { whole: string; point: [number, number] | null } | null {
  const found = AT_CLASS.exec(spec);
  if (!found) return null;
  const at = / at (.*)$/.exec(found[3] ?? "")?.[1];
  return { whole: `class:${found[1]}`, point: at ? (at.split(",").map(Number) as [number, number]) : null };
}

/** Whether a target is at a box, region or word: "box 3: cat" is at "box 3". */
export const isAt = (target: string, spec: string): boolean =>
  spec !== "" && (target === spec || partsOf(target)?.base === spec);

/** A text that is compared with the image. */
export interface Prompt {
  text: string;
  /** "A rather than B". */
  other: string;
  /** Texts that compete with it, separated by commas. */
  among: string;
}

export const isPrompt = (target: string): boolean => /^\s*(not\s+)?text:/.test(target);

export function promptOf(target: string): Prompt {
  const [, rest = ""] = /^\s*text:(.*)$/s.exec(target) ?? [];
  const [contrast = "", ...among] = rest.split(" among ");
  const [text = "", other = ""] = contrast.split(CONTRAST);
  return { text: text.trim(), other: other.trim(), among: among.join(" among ").trim() };
}

export function promptText({ text, other, among }: Prompt): string {
  if (!text) return "";
  return `text:${text}${other ? CONTRAST + other : ""}${among ? ` among ${among}` : ""}`;
}
