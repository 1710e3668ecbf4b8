// The numbers of a channel in words.

import { percent, short, signed } from "../../numbers";
import type { Channel, Channels } from "./schemas";

/** The contribution of a channel as a fraction of the positive or of the negative evidence, with its sign. */
export function fractionOf({ contribution }: Channel, { positive, negative }: Channels): number {
  if (contribution > 0) return contribution / positive;
  return contribution < 0 ? -contribution / negative : 0;
}

/** "+12 %", "−0.4 %". */
export const signedPercent = (fraction: number): string =>
  `${fraction > 0 ? "+" : fraction < 0 ? "−" : ""}${percent(Math.abs(fraction))}`;

/** A percentage that stays on one line. */
const part = (share: number): string =>
  share > 0 && share < 0.0005 ? "less than 0.1\u00a0%" : percent(share).replace(" ", "\u00a0");

const FIRST = ["", "", "second ", "third ", "fourth ", "fifth ", "sixth ", "seventh ", "eighth ", "ninth ", "tenth "];

/** "the largest", "the third largest", "the 23rd largest". */
export function ranked(rank: number, most: string): string {
  return `the ${FIRST[rank] ?? `${ordinal(rank)} `}${most}`;
}

function ordinal(n: number): string {
  const teen = n % 100 >= 11 && n % 100 <= 13;
  return `${n}${teen ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th")}`;
}

/** The contribution to the target, the effect of a higher activation, the activation: one sentence each. */
export function sentences(one: Channel, all: Channels): string[] {
  const { ranks, contribution, gradient, mean, strength } = one;
  const { total, target, positive, negative } = all;
  const sum = `its mean gradient × its mean activation, ${signed(contribution)}, is`;
  const said: string[] = [];
  if (contribution > 0)
    said.push(
      `Positive evidence for ${target}: ${sum} ${ranked(ranks.contribution, "largest")} of ${total}, ` +
        `${part(contribution / positive)} of the positive evidence.`,
    );
  else if (contribution < 0)
    said.push(
      `Negative evidence for ${target}: ${sum} ${ranked(total - ranks.contribution + 1, "lowest")} of ${total}, ` +
        `${part(contribution / negative)} of the negative evidence.`,
    );
  else said.push(`No contribution to ${target} on this image: its mean gradient × its mean activation is 0.`);
  if (gradient !== 0)
    said.push(
      `A higher activation would ${gradient > 0 ? "raise" : "lower"} the score: its mean gradient, ${signed(gradient)}, is ` +
        `${ranked(ranks.gradient, "largest")}.`,
    );
  said.push(
    strength === 0 && mean === 0
      ? "The channel is zero on this image."
      : `Its mean activation, ${short(mean)}, is ${ranked(ranks.activation, "largest")}; ` +
          `its maximum is ${short(strength)}.`,
  );
  return said;
}

/** The fraction of the positive evidence that some channels hold. */
export function positiveFraction(shown: readonly Channel[], all: Channels): number {
  if (all.positive <= 0) return 0;
  const held = shown.reduce((sum, one) => sum + Math.max(0, one.contribution), 0);
  return Math.min(1, held / all.positive);
}
