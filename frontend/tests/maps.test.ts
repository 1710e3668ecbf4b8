import { describe, expect, it } from "vitest";
import type { Geometry } from "../src/api/types";
import { Field } from "../src/maps/field";
import { plainGeometry, toImageGrid, validRegion, valueAt } from "../src/maps/landing";
import { bytes, unpack } from "../src/maps/packed";
import { gradient, Painter, STEPS, table } from "../src/maps/painter";

const grid = (height: number, width: number, of: (row: number, column: number) => number) => ({
  height,
  width,
  values: Float32Array.from({ length: height * width }, (_, i) => of(Math.floor(i / width), i % width)),
});

/** Bilinear with half-pixel centres and the border repeated, one place after the other: too plain to be wrong. */
function bilinear(map: ReturnType<typeof grid>, x: number, y: number): number {
  const inside = (at: number, count: number): number => Math.min(Math.max(at, 0), count - 1);
  const [u, v] = [inside(x, map.width), inside(y, map.height)];
  const [left, top] = [Math.floor(u), Math.floor(v)];
  const value = (row: number, column: number): number =>
    map.values[inside(row, map.height) * map.width + inside(column, map.width)]!;
  const across = (row: number): number => value(row, left) * (1 - (u - left)) + value(row, left + 1) * (u - left);
  return across(top) * (1 - (v - top)) + across(top + 1) * (v - top);
}

const map = grid(2, 5, (row, column) => 3 * row + column ** 2);
/** An image of 40 × 20, scaled by 0.5 in x and 0.6 in y, its left 4 and top 1 input pixels cropped. */
const place: Geometry = { original: [40, 20], input: [14, 8], scale: [0.5, 0.6], offset: [-4, -1] };

describe("a map on its image", () => {
  it("has the values of both steps of interpolation", () => {
    const input = grid(8, 14, (row, column) => bilinear(map, ((column + 0.5) * 5) / 14 - 0.5, ((row + 0.5) * 2) / 8 - 0.5));
    const landed = toImageGrid(map, place, 40, 20);
    for (let y = 0; y < 20; y++)
      for (let x = 0; x < 40; x++) {
        const [u, v] = [(x + 0.5) * 0.5 - 4, (y + 0.5) * 0.6 - 1];
        const sees = u > 0 && u < 14 && v > 0 && v < 8;
        const value = landed[y * 40 + x]!;
        if (!sees) expect(value).toBeNaN();
        else {
          expect(value).toBeCloseTo(bilinear(input, u - 0.5, v - 0.5), 4);
          expect(valueAt(map, place, x + 0.5, y + 0.5)).toBeCloseTo(value, 4);
        }
      }
  });

  it("is seen where the network looked", () => {
    const expected = [8, 1 / 0.6, 36, 15];
    validRegion(place).forEach((edge, i) => expect(edge).toBeCloseTo(expected[i]!));
    expect(valueAt(map, place, 7.9, 10)).toBeNaN();
    expect(valueAt(map, place, 20, 15.1)).toBeNaN();
  });

  it("stands for the same values at any size", () => {
    const small = toImageGrid(map, place, 20, 10);
    expect(small[5 * 20 + 10]!).toBeCloseTo(valueAt(map, place, 21, 11), 4);
    expect(small[5 * 20 + 3]!).toBeNaN();
  });

  it("has what is below zero cut off where the paper does", () => {
    const both = grid(1, 3, (_, column) => column - 1);
    expect([...new Field(both, plainGeometry(3, 1), true, false, 100).landed(3, 1)]).toEqual([0, 0, 1]);
    expect([...new Field(both, plainGeometry(3, 1), false, true, 100).landed(3, 1)]).toEqual([-1, 0, 1]);
  });
});

describe("the full colour", () => {
  const values = Float32Array.from({ length: 200 }, (_, i) => (i * 7919) % 200);
  const of = (percentile: number, signed: boolean, given: Float32Array): number =>
    new Field({ height: 10, width: 20, values: given }, plainGeometry(20, 10), false, signed, percentile).top;

  it("is the largest value, or a percentile of them", () => {
    expect(of(100, false, values)).toBe(199);
    expect(of(99, false, values)).toBe(197); // the 198th of 0 to 199
    expect(of(50, false, values)).toBe(99);
  });

  it("counts what is below zero only in maps with signs", () => {
    const negative = values.map((value) => -2 * value);
    expect(of(100, true, negative)).toBe(398);
    expect(of(100, false, negative)).toBe(0);
  });
});

describe("maps as they are sent", () => {
  it("are half floats, low byte first, times the peak", () => {
    const halves = [0x3c00, 0xbc00, 0x3800, 0x0001, 0x7bff, 0x0000]; // 1, −1, 0.5, 2^−24, 65504, 0
    const raw = String.fromCharCode(...halves.flatMap((bits) => [bits & 255, bits >> 8]));
    const made = unpack({ count: 2, height: 1, width: 3, peak: 2, values: btoa(raw) });
    expect(made.map((one) => [...one.values])).toEqual([
      [2, -2, 1],
      [2 ** -23, 131008, 0],
    ]);
    expect([...bytes(btoa("az"))]).toEqual([97, 122]);
  });
});

describe("colours", () => {
  const palettes = {
    grey: { colours: ["000000", "ff8000"], positions: [0, 1], diverging: false },
    signed: { colours: ["0000ff", "ffffff", "ff0000"], positions: [0, 0.5, 1], diverging: true },
  };
  const painter = new Painter(palettes as never, "grey", [9, 8, 7]);
  const look = { opacity: 0.5, colormap: "", threshold: 0, contour: 0, blend: "saliency" as const };
  const shown = grid(1, 3, (_, column) => column);

  it("go from one to the next", () => {
    const colours = table(palettes.signed as never);
    const at = (share: number): number[] => [...colours.slice(3 * Math.round(share * (STEPS - 1)))].slice(0, 3);
    expect([at(0), at(0.5), at(1), at(0.25)]).toEqual([[0, 0, 255], [255, 255, 255], [255, 0, 0], [128, 128, 255]]);
  });

  it("stand for values between nothing and the full colour, of two signs round the middle", () => {
    const pixel = (field: Field, at: number): number[] => [...painter.heat(field, 3, 1, look).data.slice(4 * at, 4 * at + 3)];
    const one = new Field(shown, plainGeometry(3, 1), false, false, 100);
    expect([0, 1, 2].map((at) => pixel(one, at))).toEqual([[0, 0, 0], [128, 64, 0], [255, 128, 0]]);
    const both = new Field(grid(1, 3, (_, column) => column - 1), plainGeometry(3, 1), false, true, 100);
    expect([0, 1, 2].map((at) => pixel(both, at))).toEqual([[0, 0, 255], [255, 255, 255], [255, 0, 0]]);
  });

  it("cover the more of the photo the hotter the map is, and none below the threshold", () => {
    const one = new Field(shown, plainGeometry(3, 1), false, false, 100);
    const photo = (): ImageData => {
      const made = new ImageData(3, 1);
      made.data.fill(100);
      return made;
    };
    const over = (more: object): number[] => {
      const { data } = painter.over(photo(), one, { ...look, ...more });
      return [data[0]!, data[4]!, data[8]!];
    };
    // cover = 1 − (1 − opacity)^(2 heat): 0, 0.5 and 0.75 of 0, 128 and 255
    expect(over({})).toEqual([100, 114, 216]);
    expect(over({ threshold: 0.6 })).toEqual([100, 100, 216]);
    expect(over({ blend: "uniform" })).toEqual([50, 114, 178]);
  });

  it("are grey where the network did not look", () => {
    const cropped: Geometry = { original: [4, 1], input: [2, 1], scale: [1, 1], offset: [0, 0] };
    const field = new Field(grid(1, 2, () => 1), cropped, false, false, 100);
    expect(field.partly).toBe(true);
    const { data } = painter.heat(field, 4, 1, look);
    expect([...data.slice(12, 15)]).toEqual([9, 8, 7]);
  });
});

it("shows a palette as a gradient of the same colours", () => {
  const palette = { colours: ["000000", "ff8000", "ffffff"], positions: [0, 0.25, 1], diverging: false };
  const colours = table(palette);
  for (const [, colour, percent] of gradient(palette).matchAll(/#(\w{6}) ([\d.]+)%/g)) {
    const at = 3 * Math.round((Number(percent) / 100) * (STEPS - 1));
    const [r, g, b] = [0, 2, 4].map((i) => parseInt(colour!.slice(i, i + 2), 16));
    expect([...colours.slice(at, at + 3)]).toEqual([r, g, b]);
  }
});
