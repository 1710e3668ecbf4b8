// A channel on a small canvas: its map over the image, or alone; on its own scale, or on one that others share.

import type { Geometry } from "../../api/types";
import { Field } from "../../maps/field";
import type { Grid } from "../../maps/packed";
import type { Look } from "../../maps/painter";
import { app } from "../../state/app";
import { photoPixels, photoSize } from "../../shared/photo";

const TILE = 160;

/** How channels are drawn. `faint`: the image behind is grey and pale, so that all colour is that of the map. */
export interface Style {
  look: Look;
  over: boolean;
  faint: boolean;
  /** What the full colour stands for; 0: each map's own highest value. */
  top: number;
}

/** The map of a channel. Negative values are displayed only at a layer that has such values. */
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

export function drawChannel(
  canvas: HTMLCanvasElement,
  image: HTMLImageElement,
  field: Field,
    style: Style,
  side: number,
): void {
  const [width, height] = photoSize(image, side);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  if (!style.over) {
    context.putImageData(app.painter.heat(field, width, height, style.look), 0, 0);
    return;
  }
  const behind = style.faint ? faint(image, width, height) : photoPixels(image, width, height);
  context.putImageData(app.painter.over(behind, field, style.look, paper(width, height)), 0, 0);
}

let last: ImageData | null = null;

/** The pixels that tiles are drawn on before they are put on their canvas: one for all of a size. */
function paper(width: number, height: number): ImageData {
  if (last?.width !== width || last.height !== height) last = new ImageData(width, height);
  return last;
}

const PALE = 0.5;
const known = new WeakMap<HTMLImageElement, ImageData>();

/** The image grey and pale; the same for all tiles, so it is made once. */
function faint(image: HTMLImageElement, width: number, height: number): ImageData {
  let made = known.get(image);
  if (made?.width !== width || made.height !== height) {
    made = photoPixels(image, width, height);
    const { data } = made;
    for (let i = 0; i < data.length; i += 4) {
      const grey = (data[i]! * 19595 + data[i + 1]! * 38470 + data[i + 2]! * 7471) / 65536;
      data[i] = data[i + 1] = data[i + 2] = 255 - PALE * (255 - grey);
    }
    known.set(image, made);
  }
  return made;
}
