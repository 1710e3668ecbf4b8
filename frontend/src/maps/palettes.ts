// Palettes as tables of colours.

import type { Start } from "../api/types";

export type Palette = Start["palettes"][string];

/** So many colours has a table, from 0 to 1. */
export const STEPS = 1025;

/** Colours from 0 to 1, rgb after rgb. */
export function table({ colours, positions }: Palette): Uint8ClampedArray {
  const made = new Uint8ClampedArray(STEPS * 3);
  let part = 0;
  for (let i = 0; i < STEPS; i++) {
    const at = i / (STEPS - 1);
    while (part < positions.length - 2 && at > positions[part + 1]!) part++;
    const [start, end] = [positions[part]!, positions[part + 1]!];
    const share = end > start ? Math.min(Math.max((at - start) / (end - start), 0), 1) : 0;
    for (let c = 0; c < 3; c++) {
      const [one, other] = [hex(colours[part]!, c), hex(colours[part + 1]!, c)];
      made[3 * i + c] = Math.round(one + (other - one) * share);
    }
  }
  return made;
}

const hex = (colour: string, channel: number): number => parseInt(colour.slice(2 * channel, 2 * channel + 2), 16);

/** From low to high as an image of a style sheet, which interpolates as `table` does. */
export function gradient({ colours, positions }: Palette): string {
  const stops = colours.map((colour, i) => `#${colour} ${(100 * positions[i]!).toFixed(2)}%`);
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
