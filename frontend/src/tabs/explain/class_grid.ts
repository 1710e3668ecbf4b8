// The predicted classes of a segmentation network as a grid of cells, the region in question, and how they are painted.

import type { Schemas } from "../../api/types";
import { regionOf } from "./target_text";
import { outlineOf, type Shape } from "./targets";

export type Classes = Schemas["PredictedClassesOut"];
type PredictedClass = Schemas["PredictedClassOut"];

/** Opacity of the colours in the region in question, and in the others; contrast of the photo: as camlucida.render has them. */
const OPACITY = 0.75;
const FAINT_OPACITY = 0.3;
const CONTRAST = 0.4;

export class ClassGrid {
  readonly width: number;
  readonly height: number;
  readonly classes: readonly PredictedClass[];
  readonly overlap: boolean;
  /** The place of each cell's class in `classes`; -1 without a class. */
  readonly cells: Int16Array;

  constructor({ width, height, runs, classes, overlap }: Classes) {
    [this.width, this.height, this.classes, this.overlap] = [width, height, classes, overlap];
    this.cells = new Int16Array(width * height);
    for (let i = 0, at = 0; i < runs.length; at += runs[i + 1]!, i += 2)
      this.cells.fill(classes.findIndex(({ index }) => index === runs[i]), at, at + runs[i + 1]!);
  }

  /** The class at fractions of the image; null without one. */
  at(x: number, y: number): PredictedClass | null {
    return this.classes[this.cells[this.cellAt(x, y)]!] ?? null;
  }

  cellAt(x: number, y: number): number {
    const inside = (fraction: number, count: number): number => Math.min(Math.max(Math.floor(fraction * count), 0), count - 1);
    return inside(y, this.height) * this.width + inside(x, this.width);
  }
}

/** The region in question: its cells, or its point in fractions of the image if another class is predicted there. */
export interface Region {
  inside: Uint8Array | null;
  point: readonly [number, number] | null;
  outline: string;
}

/** The region of a target in an image of a size; null for a target that is no region of a class. */
export function regionIn(grid: ClassGrid, spec: string, shapes: readonly Shape[], size: readonly [number, number]): Region | null {
  const meant = regionOf(spec);
  // "class:Bus" or "class:6".
  const names = (one: PredictedClass): boolean =>
    meant?.whole.toLowerCase() === one.spec.toLowerCase() || meant?.whole === `class:${one.index}`;
  const place = grid.classes.findIndex(names);
  if (!meant || place < 0) return null;
  // Where regions overlap, a cell of this class may have the colour of another one.
  const mask = grid.overlap ? shapes.find(({ target }) => target.spec === grid.classes[place]!.spec)?.mask : null;
  const { width, height } = grid;
  const isInside = (cell: number): boolean => {
    if (!mask) return grid.cells[cell] === place;
    const [x, y] = [((cell % width) + 0.5) / width, (Math.floor(cell / width) + 0.5) / height];
    return mask.at(Math.floor(x * mask.width), Math.floor(y * mask.height));
  };
  let inside = Uint8Array.from({ length: width * height }, (_, cell) => Number(isInside(cell)));
  if (meant.point) {
    const point = [meant.point[0] / size[0], meant.point[1] / size[1]] as const;
    const from = grid.cellAt(...point);
    if (!inside[from]) return { inside: null, point, outline: "" };
    inside = connected(inside, width, from);
  }
  const at = (x: number, y: number): boolean => x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x] === 1;
  return { inside, point: null, outline: outlineOf({ width, height, at }) };
}

/** The cells that are connected with one of them, also over corners. */
function connected(inside: Uint8Array, width: number, from: number): Uint8Array<ArrayBuffer> {
  const part = new Uint8Array(inside.length);
  const next = [from];
  part[from] = 1;
  for (let cell = next.pop(); cell !== undefined; cell = next.pop()) {
    const column = cell % width;
    for (const dy of [-width, 0, width])
      for (const dx of [-1, 0, 1]) {
        const other = cell + dy + dx;
        if (column + dx < 0 || column + dx >= width || !inside[other] || part[other]) continue;
        part[other] = 1;
        next.push(other);
      }
  }
  return part;
}

/** The photo in light greys under the colours of the classes; those of the region in question are stronger. */
export function painted(photo: ImageData, grid: ClassGrid, region: Region | null): ImageData {
  const { width, height, data } = photo;
  const made = new ImageData(width, height);
  const colours = grid.classes.map(({ colour }) => [1, 3, 5].map((i) => Number.parseInt(colour.slice(i, i + 2), 16)));
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at += 4) {
      const grey = (data[at]! * 19595 + data[at + 1]! * 38470 + data[at + 2]! * 7471 + 0x8000) >> 16;
      const pale = 255 - CONTRAST * (255 - grey);
      const cell = grid.cellAt((x + 0.5) / width, (y + 0.5) / height);
      const colour = colours[grid.cells[cell]!];
      const opacity = !colour ? 0 : !region?.inside || region.inside[cell] ? OPACITY : FAINT_OPACITY;
      for (let c = 0; c < 3; c++) made.data[at + c] = Math.round(pale + opacity * ((colour?.[c] ?? 0) - pale));
      made.data[at + 3] = 255;
    }
  return made;
}
