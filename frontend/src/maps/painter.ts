// From maps to colours: the same sums as camlucida/render, so that the page shows what `explain` saves. Tested against
// them (tests/browser/test_numbers.py).

import type { Start } from "../api/types";
import { Kept } from "../kept";
import type { Field } from "./field";

/** How maps are painted. `threshold`: nothing below this share of the full colour; `contour`: a line round it. */
export interface Look {
  opacity: number;
  colormap: string;
  threshold: number;
  contour: number;
  blend: "saliency" | "uniform";
}

/** Levels of heat that are told apart; each has its colour and its cover. */
const LEVELS = 4096;
const DIMMED = 0.45;
const CONTRAST = 0.4;

/** The last ones: the same for all maps that are painted alike, of which a sheet has thousands. */
const coats = new Kept<Float32Array>(4);

/** The colours of all palettes, and how a map is painted with them. */
export class Painter {
  private readonly tables = new Map<string, Uint8ClampedArray>();

  constructor(
    private readonly palettes: Start["palettes"],
    private readonly usual: string,
    private readonly unseen: [number, number, number],
  ) {}

  /** The palette for a map: what was chosen, or its own. */
  palette(field: Field, colormap: string): string {
    if (colormap in this.palettes) return colormap;
    return field.showsSigns ? "signed" : this.usual;
  }

  diverging(name: string): boolean {
    return this.palettes[name]?.diverging ?? false;
  }

  /** 1025 colours from 0 to 1, rgb after rgb. */
  table(name: string): Uint8ClampedArray {
    if (!this.tables.has(name)) this.tables.set(name, table(this.palettes[name]!));
    return this.tables.get(name)!;
  }

  /** The grey of what the network did not see. */
  get blank(): string {
    return `rgb(${this.unseen.join(" ")})`;
  }

  /** A palette from low to high, as the value of `background`. */
  gradient(name: string): string {
    return gradient(this.palettes[name]!);
  }

  heat(field: Field, width: number, height: number, look: Look): ImageData {
    const into = new ImageData(width, height);
    this.paint(into, field, look, into, true);
    return into;
  }

  /** The heat over the photo, as camlucida.render.overlay does it: into another of its size, or in place. */
  over(photo: ImageData, field: Field, look: Look, into = photo): ImageData {
    this.paint(photo, field, look, into, false);
    if (look.contour > 0) outline(into, this.strong(field, look, into));
    return into;
  }

  private paint({ width, height, data }: ImageData, field: Field, look: Look, into: ImageData, opaque: boolean): void {
    const made = into.data;
    const name = this.palette(field, look.colormap);
    const diverging = this.diverging(name);
    const coat = this.coat(name, look, opaque);
    const [ur, ug, ub] = this.unseen;
    const dim = Math.min(1, 2 * look.opacity);
    const fade = opaque ? 1 : DIMMED * dim;
    const grey = diverging && !opaque ? dim : 0;
    const { top } = field;
    const reach = diverging ? LEVELS / 2 : LEVELS;
    const [gain, zero] = [top ? reach / top : 0, diverging ? reach : 0];
    const landed = field.landed(width, height);
    for (let i = 0, at = 0; i < landed.length; i++, at += 4) {
      let r = data[at]!;
      let g = data[at + 1]!;
      let b = data[at + 2]!;
      if (grey) {
        const pale = 255 - CONTRAST * (255 - ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16));
        r += grey * (pale - r);
        g += grey * (pale - g);
        b += grey * (pale - b);
      }
      const level = landed[i]! * gain + zero;
      if (level !== level) {
        made[at] = r + fade * (ur - r);
        made[at + 1] = g + fade * (ug - g);
        made[at + 2] = b + fade * (ub - b);
      } else {
        const from = 4 * ((Math.min(Math.max(level, 0), LEVELS) + 0.5) | 0);
        const cover = coat[from + 3]!;
        made[at] = r + cover * (coat[from]! - r);
        made[at + 1] = g + cover * (coat[from + 1]! - g);
        made[at + 2] = b + cover * (coat[from + 2]! - b);
      }
      made[at + 3] = 255;
    }
  }

  /** For every level its colour and how much that covers of the photo; where nothing else is below it, all. */
  private coat(name: string, look: Look, opaque: boolean): Float32Array {
    const { opacity, blend, threshold } = look;
    return coats.of([name, opacity, blend, threshold, opaque].join(" "), () => {
      const colours = this.table(name);
      const diverging = this.diverging(name);
      const made = new Float32Array(4 * (LEVELS + 1));
      for (let level = 0; level <= LEVELS; level++) {
        const heat = diverging ? Math.abs((2 * level) / LEVELS - 1) : level / LEVELS;
        const hidden = heat < threshold;
        const cover = blend === "uniform" ? opacity : 1 - (1 - opacity) ** (2 * heat);
        const shown = opaque && hidden ? (diverging ? LEVELS / 2 : 0) : level;
        const at = 3 * Math.round((shown / LEVELS) * (STEPS - 1));
        made.set(colours.subarray(at, at + 3), 4 * level);
        made[4 * level + 3] = opaque ? 1 : hidden ? 0 : cover;
      }
      return made;
    });
  }

  /** A 1 for every pixel that is at least as strong as the contour. */
  private strong(field: Field, { colormap, contour }: Look, { width, height }: ImageData): Uint8Array {
    const diverging = this.diverging(this.palette(field, colormap));
    const landed = field.landed(width, height);
    const made = new Uint8Array(landed.length);
    if (!field.top) return made;
    landed.forEach((value, i) => {
      const fraction = value / field.top;
      if ((diverging ? Math.abs(fraction) : fraction) >= contour) made[i] = 1;
    });
    return made;
  }
}

/** A line round all that is inside, light with a dark edge: visible on any image. */
export function outline({ width, height, data }: ImageData, inside: Uint8Array): void {
  const reach = Math.max(1, Math.round(Math.min(width, height) / 200));
  for (const [by, colour] of [[2 * reach, [29, 29, 34]], [reach, [255, 255, 255]]] as const)
    dilated(inside, width, height, by).forEach((grown, i) => {
      if (grown && !inside[i]) data.set(colour, 4 * i);
    });
}

/** Every place from which a marked one is at most `by` steps away, along each axis. */
function dilated(marked: Uint8Array, width: number, height: number, by: number): Uint8Array {
  /** The same along one axis: so many lines, the first cell of each, the step from one cell to the next. */
  const along = (from: Uint8Array, lines: number, length: number, start: number, step: number): Uint8Array => {
    const made = new Uint8Array(from.length);
    for (let line = 0; line < lines; line++)
      for (let i = 0, last = -Infinity; i < length + by; i++) {
        if (i < length && from[line * start + i * step]) last = i;
        if (i >= by && last >= i - 2 * by) made[line * start + (i - by) * step] = 1;
      }
    return made;
  };
  return along(along(marked, height, width, width, 1), width, height, 1, width);
}

type Palette = Start["palettes"][string];

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
