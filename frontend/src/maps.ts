// From raw maps to colours: the same sums as camlucida/tensors.py and camlucida/render, so that the page shows what
// `explain` saves. Tested against them (tests/browser/test_numbers.py).

import type { Explained, Packed, Place, Start } from "./api";

/** One map on its own grid, in its own units. */
export interface Grid {
  height: number;
  width: number;
  values: Float32Array;
}

export function unpack(packed: Packed): Grid[] {
  const bytes = Uint8Array.from(atob(packed.values), (letter) => letter.charCodeAt(0));
  const halves = new DataView(bytes.buffer);
  const { count, height, width, peak } = packed;
  return Array.from({ length: count }, (_, which) => {
    const values = new Float32Array(height * width);
    for (let i = 0; i < values.length; i++)
      values[i] = half(halves.getUint16(2 * (which * values.length + i), true)) * peak;
    return { height, width, values };
  });
}

/** An IEEE half as a number; DataView has none everywhere yet. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Bilinear, half-pixel centres, the border repeated: torch's interpolate(align_corners=False). */
function upsampled(grid: Grid, width: number, height: number): Float32Array {
  const made = new Float32Array(width * height);
  const across = steps(width, grid.width);
  const down = steps(height, grid.height);
  for (let y = 0; y < height; y++) {
    const [y0, y1, v] = down[y] as Step;
    for (let x = 0; x < width; x++) {
      const [x0, x1, u] = across[x] as Step;
      made[y * width + x] = mixed(grid.values, y0 * grid.width, y1 * grid.width, x0, x1, u, v);
    }
  }
  return made;
}

type Step = [number, number, number];

function steps(count: number, of: number): Step[] {
  return Array.from({ length: count }, (_, i) => between(((i + 0.5) * of) / count - 0.5, of));
}

/** The two cells round a place on an axis, and how far it is from the first to the second. */
function between(place: number, count: number): Step {
  const at = Math.min(Math.max(place, 0), count - 1);
  const first = Math.floor(at);
  return [first, Math.min(first + 1, count - 1), at - first];
}

function mixed(v: Float32Array, row0: number, row1: number, x0: number, x1: number, u: number, t: number): number {
  const top = v[row0 + x0]! + (v[row0 + x1]! - v[row0 + x0]!) * u;
  const bottom = v[row1 + x0]! + (v[row1 + x1]! - v[row1 + x0]!) * u;
  return top + (bottom - top) * t;
}

/** Of a longer picture, the full colour is found at this size: nobody sees the difference. */
const LARGEST = 1024;

/** A map on its way to the picture: up to the network's input once, from there to any size at which it is shown. */
export class Field {
  readonly map: Grid;
  private readonly atInput: Float32Array;
  private last: { width: number; height: number; values: Float32Array } | null = null;
  private full: number | null = null;

  constructor(
    raw: Grid,
    readonly place: Place,
    readonly relu: boolean,
    readonly signed: boolean,
    readonly percentile: number,
  ) {
    this.map = relu ? { ...raw, values: raw.values.map((v) => Math.max(v, 0)) } : raw;
    const [width, height] = place.input;
    this.atInput = upsampled(this.map, width, height);
  }

  static of(made: Explained, place: Place): Field {
    return new Field(unpack(made.map)[0]!, place, made.relu, made.signed, made.percentile);
  }

  /** The value at a point of the picture (in its own pixels); NaN where the network did not look. */
  at(x: number, y: number): number {
    const { original, input, scale, offset } = this.place;
    const [left, top, right, bottom] = seen(this.place);
    if (x < left || x > right || y < top || y > bottom || x > original[0] || y > original[1]) return NaN;
    const [x0, x1, u] = between(x * scale[0] + offset[0] - 0.5, input[0]);
    const [y0, y1, v] = between(y * scale[1] + offset[1] - 0.5, input[1]);
    return mixed(this.atInput, y0 * input[0], y1 * input[0], x0, x1, u, v);
  }

  /** On the picture at another size: row by row, NaN where the network did not look. The last size is kept. */
  landed(width: number, height: number): Float32Array {
    if (this.last?.width === width && this.last.height === height) return this.last.values;
    const values = this.land(width, height);
    this.last = { width, height, values };
    return values;
  }

  private land(width: number, height: number): Float32Array {
    const { original, input, scale, offset } = this.place;
    const [left, top, right, bottom] = seen(this.place);
    const made = new Float32Array(width * height);
    const xs = axis(width, original[0], scale[0], offset[0], input[0], left, right);
    const ys = axis(height, original[1], scale[1], offset[1], input[1], top, bottom);
    for (let y = 0; y < height; y++) {
      const down = ys[y]!;
      for (let x = 0; x < width; x++) {
        const across = xs[x]!;
        made[y * width + x] =
          down && across
            ? mixed(this.atInput, down[0] * input[0], down[1] * input[0], across[0], across[1], across[2], down[2])
            : NaN;
      }
    }
    return made;
  }

  /** What the full colour stands for: the largest value shown, or a percentile. */
  peak(landed: Float32Array): number {
    const sizes = landed.filter((value) => !Number.isNaN(value));
    let top = 0;
    for (let i = 0; i < sizes.length; i++) {
      sizes[i] = this.signed ? Math.abs(sizes[i]!) : Math.max(sizes[i]!, 0);
      top = Math.max(top, sizes[i]!);
    }
    if (this.percentile >= 100 || !sizes.length) return top;
    const sorted = sizes.sort();
    const rank = Math.max(1, Math.round((this.percentile / 100) * sorted.length));
    return sorted[rank - 1] || top;
  }

  /** The same of the whole picture, in its own pixels as the library has it: whatever size it is shown at. */
  get top(): number {
    if (this.full === null) {
      const [width, height] = this.place.original;
      const factor = Math.min(1, LARGEST / Math.max(width, height));
      this.full = this.peak(this.land(Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))));
    }
    return this.full;
  }

  /** Whether there is a part that the network did not see. */
  get partly(): boolean {
    const [left, top, right, bottom] = seen(this.place);
    const [width, height] = this.place.original;
    return left > 0.5 || top > 0.5 || right < width - 0.5 || bottom < height - 0.5;
  }

  /** Whether what is below zero is shown. */
  get showsSigns(): boolean {
    return this.signed && this.map.values.some((value) => value < 0);
  }
}

/** The part of the picture that the network saw: left, top, right, bottom in the picture's pixels. */
export function seen({ original, input, scale, offset }: Place): [number, number, number, number] {
  return [
    Math.max(0, -offset[0] / scale[0]),
    Math.max(0, -offset[1] / scale[1]),
    Math.min(original[0], (input[0] - offset[0]) / scale[0]),
    Math.min(original[1], (input[1] - offset[1]) / scale[1]),
  ];
}

function axis(
  count: number,
  original: number,
  scale: number,
  offset: number,
  input: number,
  start: number,
  end: number,
): (Step | null)[] {
  return Array.from({ length: count }, (_, i) => {
    const centre = ((i + 0.5) * original) / count;
    return centre > start && centre < end ? between(centre * scale + offset - 0.5, input) : null;
  });
}

/** How maps are painted. `threshold`: nothing below this share of the full colour; `contour`: a line round it. */
export interface Look {
  opacity: number;
  colormap: string;
  threshold: number;
  contour: number;
  blend: "heat" | "uniform";
}

const STEPS = 1025;
const DIMMED = 0.45;
const CONTRAST = 0.4;

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
    const { colours, positions } = this.palettes[name]!;
    const table = new Uint8ClampedArray(STEPS * 3);
    let part = 0;
    for (let i = 0; i < STEPS; i++) {
      const at = i / (STEPS - 1);
      while (part < positions.length - 2 && at > positions[part + 1]!) part++;
      const [start, end] = [positions[part]!, positions[part + 1]!];
      const share = end > start ? Math.min(Math.max((at - start) / (end - start), 0), 1) : 0;
      for (let c = 0; c < 3; c++) {
        const [one, other] = [hex(colours[part]!, c), hex(colours[part + 1]!, c)];
        table[3 * i + c] = Math.round(one + (other - one) * share);
      }
    }
    this.tables.set(name, table);
    return table;
  }

  /** The grey of what the network did not see. */
  get blank(): string {
    return `rgb(${this.unseen.join(" ")})`;
  }

  /** A palette from low to high as a canvas, to be shown at any size. */
  ramp(name: string): HTMLCanvasElement {
    const canvas = document.createElement("canvas");
    canvas.width = 256;
    canvas.height = 1;
    const strip = new ImageData(canvas.width, 1);
    const table = this.table(name);
    for (let i = 0; i < canvas.width; i++) {
      const at = Math.round((i / (canvas.width - 1)) * (STEPS - 1)) * 3;
      strip.data.set([table[at]!, table[at + 1]!, table[at + 2]!, 255], 4 * i);
    }
    canvas.getContext("2d")!.putImageData(strip, 0, 0);
    return canvas;
  }

  /** The heat alone: rgba for a canvas. */
  heat(field: Field, width: number, height: number, look: Look): ImageData {
    const made = new ImageData(width, height);
    const { shares, table, diverging } = this.shares(field, width, height, look);
    for (let i = 0; i < shares.length; i++) {
      const share = shares[i]!;
      const hidden = Number.isNaN(share) || strength(share, diverging) < look.threshold;
      const at = Math.round((Number.isNaN(share) ? 0 : hidden ? (diverging ? 0.5 : 0) : share) * (STEPS - 1)) * 3;
      for (let c = 0; c < 3; c++) made.data[4 * i + c] = Number.isNaN(share) ? this.unseen[c]! : table[at + c]!;
      made.data[4 * i + 3] = 255;
    }
    return made;
  }

  /** The heat over the photo, in place: as camlucida.render.overlay does it. */
  over(photo: ImageData, field: Field, look: Look): ImageData {
    const { width, height, data } = photo;
    const { shares, table, diverging } = this.shares(field, width, height, look);
    const dim = Math.min(1, 2 * look.opacity);
    for (let i = 0; i < shares.length; i++) {
      const share = shares[i]!;
      const [r, g, b] = [data[4 * i]!, data[4 * i + 1]!, data[4 * i + 2]!];
      const base: [number, number, number] = [r, g, b];
      if (diverging) {
        const grey = 255 - CONTRAST * (255 - Math.floor((r * 19595 + g * 38470 + b * 7471 + 0x8000) / 65536));
        for (let c = 0; c < 3; c++) base[c] = base[c]! + dim * (grey - base[c]!);
      }
      const blind = Number.isNaN(share);
      const strong = blind ? 0 : strength(share, diverging);
      let cover = DIMMED * dim;
      if (!blind) cover = look.blend === "uniform" ? look.opacity : 1 - (1 - look.opacity) ** (2 * strong);
      if (!blind && strong < look.threshold) cover = 0;
      const at = Math.round((blind ? 0 : share) * (STEPS - 1)) * 3;
      for (let c = 0; c < 3; c++) {
        const colour = blind ? this.unseen[c]! : table[at + c]!;
        data[4 * i + c] = Math.round(base[c]! + cover * (colour - base[c]!));
      }
    }
    if (look.contour > 0) outlined(photo, shares, look.contour, diverging);
    return photo;
  }

  private shares(field: Field, width: number, height: number, look: Look) {
    const shares = Float32Array.from(field.landed(width, height));
    const name = this.palette(field, look.colormap);
    const diverging = this.diverging(name);
    const top = field.top;
    for (let i = 0; i < shares.length; i++) {
      const share = top ? shares[i]! / top : shares[i]! * 0;
      shares[i] = diverging ? (Math.min(Math.max(share, -1), 1) + 1) / 2 : Math.min(Math.max(share, 0), 1);
    }
    return { shares, table: this.table(name), diverging };
  }
}

const strength = (share: number, diverging: boolean): number => (diverging ? Math.abs(share * 2 - 1) : share);
const hex = (colour: string, channel: number): number => parseInt(colour.slice(2 * channel, 2 * channel + 2), 16);

/** A light line with a dark edge round all that is at least so strong: visible on any picture. */
function outlined(photo: ImageData, shares: Float32Array, level: number, diverging: boolean): void {
  const { width, height, data } = photo;
  const reach = Math.max(1, Math.round(Math.min(width, height) / 200));
  const inside = shares.map((share) => (!Number.isNaN(share) && strength(share, diverging) >= level ? 1 : 0));
  for (const [by, colour] of [
    [2 * reach, [29, 29, 34]],
    [reach, [255, 255, 255]],
  ] as const) {
    const grown = dilated(inside, width, height, by);
    for (let i = 0; i < grown.length; i++)
      if (grown[i] && !inside[i]) for (let c = 0; c < 3; c++) data[4 * i + c] = colour[c]!;
  }
}

/** Every place from which a marked one is at most `by` steps away, along each axis. */
function dilated(marked: Float32Array, width: number, height: number, by: number): Float32Array {
  const across = new Float32Array(marked.length);
  const both = new Float32Array(marked.length);
  for (let y = 0; y < height; y++)
    for (let x = 0, last = -Infinity; x < width + by; x++) {
      if (x < width && marked[y * width + x]) last = x;
      const at = x - by;
      if (at >= 0 && last >= at - by) across[y * width + at] = 1;
    }
  for (let x = 0; x < width; x++)
    for (let y = 0, last = -Infinity; y < height + by; y++) {
      if (y < height && across[y * width + x]) last = y;
      const at = y - by;
      if (at >= 0 && last >= at - by) both[at * width + x] = 1;
    }
  return both;
}

/** A value of a map in few characters. */
export function short(value: number): string {
  if (Number.isNaN(value)) return "not seen";
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 10000) ? value.toExponential(1) : value.toPrecision(3);
}

/** A probability as people read it; never "0 %" or "100 %" for what is neither. */
export function percent(share: number): string {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  if (share < 1 && share >= 0.9995) return "> 99.9 %";
  return share >= 0.0995 && share < 0.995 ? `${(100 * share).toFixed(0)} %` : `${(100 * share).toFixed(1)} %`;
}
