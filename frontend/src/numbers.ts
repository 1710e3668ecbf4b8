// Numbers as people read them: few digits, a minus as wide as a plus, a dash for what is not there.

const minus = (text: string): string => text.replace("-", "−");

/** A value of a map in three digits. */
export function short(value: number): string {
  if (Number.isNaN(value)) return "outside the network input";
  const size = Math.abs(value);
  if (size >= 1000 && size < 10000) return minus(value.toFixed(0));
  return minus(size !== 0 && (size < 0.001 || size >= 10000) ? value.toExponential(1) : value.toPrecision(3));
}

/** The same with its sign. */
export const signed = (value: number): string => (value > 0 ? `+${short(value)}` : short(value));

/** The same of what may be missing. */
export const digits = (value: number | null | undefined): string =>
  value === null || value === undefined || !Number.isFinite(value) ? "–" : short(value);

/** So many places after the point; never −0.0, and a dash for what is missing. */
export function fixed(value: number | null, places = 2): string {
  return value === null ? "–" : minus((Math.round(value * 10 ** places) / 10 ** places + 0).toFixed(places));
}

/** A probability; never "0 %" or "100 %" for what is neither. */
export function percent(share: number): string {
  if (share <= 0 || share >= 1) return share <= 0 ? "0 %" : "100 %";
  if (share < 0.0005) return "< 0.1 %";
  if (share >= 0.9995) return "> 99.9 %";
  return share >= 0.0995 && share < 0.995 ? `${(100 * share).toFixed(0)} %` : `${(100 * share).toFixed(1)} %`;
}

/** The probability of a class, or its value where the task has none (regression). */
export const chance = (guess: { probability: number | null; logit: number }): string =>
  guess.probability === null ? short(guess.logit) : percent(guess.probability);

/** A fraction of many images, to a tenth of a percent. */
export const tenths = (share: number | null): string => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);

/** How much of an image: no finer than can be seen. */
export const portion = (share: number): string =>
  share > 0 && share < 0.01 ? "less than 1 %" : `${Math.round(100 * share)} %`;

export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

export const sized = (sides: readonly number[]): string => sides.join(" × ");

/** A duration as people say it: "0.4 s", "12 s", "3 min". */
export const duration = (seconds: number): string =>
  seconds < 0.95 ? `${Math.max(0.1, seconds).toFixed(1)} s` : seconds < 100 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;

/** Seconds that most people need for one question of a study. */
const QUESTION_S = 6;

/** How long so many questions of a study take, in words. */
export function minutes(questions: number): string {
  const found = Math.max(1, Math.round((questions * QUESTION_S) / 60));
  return found === 1 ? "about a minute" : `about ${found} minutes`;
}
