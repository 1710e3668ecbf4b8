// From maps to colours: the same sums as camlucida/render, so that the page shows what `explain` saves. Tested against
// them (tests/browser/test_numbers.py).

import type { Start } from "../api/types";
import { outlined } from "./contour";
import type { Field } from "./field";
import { gradient, STEPS, table } from "./palettes";

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

/** How a field's values become levels: value × gain + zero. */
interface Scale {
  gain: number;
  zero: number;
  colours: Uint8ClampedArray;
  diverging: boolean;
}

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
    const known = this.tables.get(name);
    if (known) return known;
    const made = table(this.palettes[name]!);
    this.tables.set(name, made);
    return made;
  }

  /** The grey of what the network did not see. */
  get blank(): string {
    return `rgb(${this.unseen.join(" ")})`;
  }

  /** A palette from low to high, as the value of `background`. */
  gradient(name: string): string {
    return gradient(this.palettes[name]!);
  }

  /** The heat alone: rgba for a canvas. */
  heat(field: Field, width: number, height: number, look: Look): ImageData {
    const made = new ImageData(width, height);
    const data = new Uint32Array(made.data.buffer); // abgr: every machine with a browser has the low byte first
    const scale = this.scale(field, look);
    const colours = new Uint32Array(LEVELS + 1);
    for (let level = 0; level <= LEVELS; level++) {
      const hidden = strength(level, scale.diverging) < look.threshold;
      const at = 3 * step(hidden ? (scale.diverging ? LEVELS / 2 : 0) : level);
      colours[level] = opaque(scale.colours[at]!, scale.colours[at + 1]!, scale.colours[at + 2]!);
    }
    const blank = opaque(...this.unseen);
    const landed = field.landed(width, height);
    for (let i = 0; i < landed.length; i++) {
      const level = landed[i]! * scale.gain + scale.zero;
      data[i] = level !== level ? blank : colours[(Math.min(Math.max(level, 0), LEVELS) + 0.5) | 0]!;
    }
    return made;
  }

  /** The heat over the photo, as camlucida.render.overlay does it: into another of its size, or in place. */
  over(photo: ImageData, field: Field, look: Look, into = photo): ImageData {
    const { width, height, data } = photo;
    const made = into.data;
    const scale = this.scale(field, look);
    const coat = coatOf(this.palette(field, look.colormap), scale, look);
    const [ur, ug, ub] = this.unseen;
    const dim = Math.min(1, 2 * look.opacity);
    const fade = DIMMED * dim;
    const grey = scale.diverging ? dim : 0;
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
      const level = landed[i]! * scale.gain + scale.zero;
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
    if (look.contour > 0) outlined(into, strong(landed, field, scale.diverging, look.contour));
    return into;
  }

  private scale(field: Field, look: Look): Scale {
    const name = this.palette(field, look.colormap);
    const diverging = this.diverging(name);
    const reach = diverging ? LEVELS / 2 : LEVELS;
    const { top } = field;
    return { gain: top ? reach / top : 0, zero: diverging ? reach : 0, colours: this.table(name), diverging };
  }
}

let last: { key: string; coat: Float32Array } | null = null;

/** The same for all maps that are painted alike: a sheet has thousands. */
function coatOf(name: string, scale: Scale, look: Look): Float32Array {
  const key = [name, look.opacity, look.blend, look.threshold].join(" ");
  if (last?.key !== key) last = { key, coat: coats(scale, look) };
  return last.coat;
}

/** For every level its colour and how much that covers of the photo. */
function coats({ colours, diverging }: Scale, look: Look): Float32Array {
  const made = new Float32Array(4 * (LEVELS + 1));
  for (let level = 0; level <= LEVELS; level++) {
    const heat = strength(level, diverging);
    const cover = look.blend === "uniform" ? look.opacity : 1 - (1 - look.opacity) ** (2 * heat);
    const at = 3 * step(level);
    for (let c = 0; c < 3; c++) made[4 * level + c] = colours[at + c]!;
    made[4 * level + 3] = heat < look.threshold ? 0 : cover;
  }
  return made;
}

function strong(landed: Float32Array, field: Field, diverging: boolean, least: number): Uint8Array {
  const made = new Uint8Array(landed.length);
  const { top } = field;
  if (!top) return made;
  for (let i = 0; i < landed.length; i++) {
    const share = landed[i]! / top;
    if ((diverging ? Math.abs(share) : share) >= least) made[i] = 1;
  }
  return made;
}

const step = (level: number): number => Math.round((level / LEVELS) * (STEPS - 1));
const strength = (level: number, diverging: boolean): number =>
  diverging ? Math.abs((2 * level) / LEVELS - 1) : level / LEVELS;
const opaque = (r: number, g: number, b: number): number => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
