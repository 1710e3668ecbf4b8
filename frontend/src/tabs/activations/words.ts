// The numbers of a channel in words.

import { percent, short, signed } from "../../numbers";
import type { Channel, Channels } from "./wire";

/** Contributions of one layer, all in one unit, a power of a thousand, so that they can be compared at a glance. */
export class Unit {
  readonly power: number;
  private readonly digits: number;

  constructor(private readonly largest: number) {
    this.power = largest > 0 ? 3 * Math.floor((Math.log10(largest) + 1e-9) / 3) : 0;
    this.digits = Math.max(0, 2 - Math.floor(Math.log10(largest / 10 ** this.power || 1) + 1e-9));
  }

  /** In the unit, with its sign: even what is too small for its digits has one. */
  tell(value: number): string {
    const text = (Math.abs(value) / 10 ** this.power).toFixed(this.digits);
    return value > 0 ? `+${text}` : value < 0 ? `−${text}` : "0";
  }

  /** How long a bar is, of 1. */
  share(value: number): number {
    return this.largest > 0 ? Math.min(1, Math.abs(value) / this.largest) : 0;
  }

  /** "10⁻³"; empty for the unit 1. */
  get words(): string {
    const digits = [...String(Math.abs(this.power))].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]).join("");
    return this.power ? `10${this.power < 0 ? "⁻" : ""}${digits}` : "";
  }
}

/** A share in percent that stays on one line; a small one is not none. */
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

/** What a channel counts for the target, what more of it would do, how active it is: a sentence each. */
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

/** How much of what speaks for the target the channels on the sheet hold. */
export function shareOf(shown: readonly Channel[], all: Channels): number {
  if (all.positive <= 0) return 0;
  const held = shown.reduce((sum, one) => sum + Math.max(0, one.contribution), 0);
  return Math.min(1, held / all.positive);
}
