// A channel on a small canvas: its map over the picture, or alone; on its own scale, or on one that others share.

import type { Geometry } from "../../api/types";
import { Field } from "../../maps/field";
import type { Grid } from "../../maps/packed";
import type { Look, Painter } from "../../maps/painter";
import { photoPixels as pixels, photoSize as sizeOf } from "../../shared/photo";

const TILE = 160;

/** How tiles are painted. `faint`: the picture behind is grey and pale, so that colour is the map's alone. */
export interface Style {
  look: Look;
  over: boolean;
  faint: boolean;
  /** What the full colour stands for; 0: each map's own highest value. */
  top: number;
}

/** A channel's map. What is below zero is shown only at a layer that has such values. */
export class ChannelField extends Field {
  private highest: number | null = null;

  constructor(
    raw: Grid,
    place: Geometry,
    signed: boolean,
    private readonly given: number,
  ) {
    super(raw, place, false, signed, 100);
  }

  /** Its own is taken at no more than the size of a tile: a layer may have two thousand of them. */
  override get top(): number {
    if (this.given) return this.given;
    this.highest ??= this.peak(this.landedWithin(TILE));
    return this.highest;
  }
}

/** The look of channels. A layer with values below zero has the signed colours for all of them. */
export function channelLook(look: Look, signed: boolean): Look {
  return { ...look, threshold: 0, contour: 0, colormap: look.colormap || (signed ? "signed" : "") };
}

export function paintTile(
  canvas: HTMLCanvasElement,
  image: HTMLImageElement,
  field: Field,
  painter: Painter,
  style: Style,
  side: number,
): void {
  const [width, height] = sizeOf(image, side);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  if (!style.over) {
    context.putImageData(painter.heat(field, width, height, style.look), 0, 0);
    return;
  }
  const behind = style.faint ? faint(image, width, height) : pixels(image, width, height);
  context.putImageData(painter.over(behind, field, style.look, paper(width, height)), 0, 0);
}

let last: ImageData | null = null;

/** What tiles are painted on before they are put on their canvas: one for all of a size. */
function paper(width: number, height: number): ImageData {
  if (last?.width !== width || last.height !== height) last = new ImageData(width, height);
  return last;
}

const PALE = 0.5;
const known = new WeakMap<HTMLImageElement, ImageData>();

/** The picture grey and pale; it is the same for all tiles of a sheet, so it is made once. */
function faint(image: HTMLImageElement, width: number, height: number): ImageData {
  let made = known.get(image);
  if (made?.width !== width || made.height !== height) {
    made = pixels(image, width, height);
    const { data } = made;
    for (let i = 0; i < data.length; i += 4) {
      const grey = (data[i]! * 19595 + data[i + 1]! * 38470 + data[i + 2]! * 7471) / 65536;
      data[i] = data[i + 1] = data[i + 2] = 255 - PALE * (255 - grey);
    }
    known.set(image, made);
  }
  return made;
}
