// The predicted classes: cells from runs, the region of a target, and its colours.

import { expect, test } from "vitest";
import { type Classes, ClassGrid, painted, regionIn } from "../src/tabs/explain/class_grid";
import { shapesOf } from "../src/tabs/explain/targets";

const one = (index: number, name: string, colour: string) => ({ index, name, colour, fraction: 0.25, spec: `class:${name}` });
// 7 . 7 7      7 is cat, 2 is dog, . has no class
// 2 2 2 7
const classes: Classes = {
  width: 4,
  height: 2,
  runs: [7, 1, -1, 1, 7, 2, 2, 3, 7, 1],
  classes: [one(7, "cat", "#0072b2"), one(2, "dog", "#d55e00")],
  overlap: false,
};
const size = [40, 20] as const;

test("every cell has the class of its run", () => {
  const grid = new ClassGrid(classes);
  expect([...grid.cells]).toEqual([0, -1, 0, 0, 1, 1, 1, 0]);
  expect([grid.at(0.1, 0.1)?.name, grid.at(0.3, 0.1), grid.at(0.99, 0.99)?.name, grid.at(1, 1)?.name, grid.at(0, 1)?.name]).toEqual([
    "cat", null, "cat", "cat", "dog",
  ]);
});

test("a target is all pixels of its class, or the part at its point, or the point", () => {
  const grid = new ClassGrid(classes);
  const inside = (spec: string): number[] | null => [...(regionIn(grid, spec, [], size)?.inside ?? [])];
  expect(inside("class:cat")).toEqual([1, 0, 1, 1, 0, 0, 0, 1]);
  expect(inside("class:7")).toEqual(inside("class:cat"));
  expect(inside("class:cat rather than dog")).toEqual(inside("class:cat"));
  expect(inside("class:cat at 39,19")).toEqual([0, 0, 1, 1, 0, 0, 0, 1]); // not around the edge of the image
  expect(regionIn(grid, "class:cat at 5,15", [], size)).toEqual({ inside: null, point: [0.125, 0.75], outline: "" });
  expect([regionIn(grid, "class:cow", [], size), regionIn(grid, "box 1", [], size)]).toEqual([null, null]);
  expect(regionIn(grid, "class:dog", [], size)!.outline).toBe("M0 1H3M0 2H3M0 1V2M3 1V2");
});

test("where regions overlap, that of a target is its mask", () => {
  const mask = { width: 2, height: 1, bits: btoa(String.fromCharCode(0b01000000)) };
  const target = { spec: "class:dog", label: "dog", name: "dog", probability: null, box: null, point: null, mask };
  const shapes = shapesOf({ size: [40, 20], targets: [target] });
  const region = regionIn(new ClassGrid({ ...classes, overlap: true }), "class:dog", shapes, size);
  expect([...region!.inside!]).toEqual([0, 0, 1, 1, 0, 0, 1, 1]);
});

test("colours are stronger in the region, and what has no class is grey", () => {
  const grid = new ClassGrid(classes);
  const photo = new ImageData(4, 2);
  photo.data.fill(255); // white stays white in grey
  const made = painted(photo, grid, regionIn(grid, "class:dog", [], size)).data;
  const at = (cell: number): number[] => [...made.slice(4 * cell, 4 * cell + 4)];
  expect(at(1)).toEqual([255, 255, 255, 255]);
  expect(at(4)).toEqual([0xd5, 0x5e, 0x00].map((c) => Math.round(255 + 0.75 * (c - 255))).concat(255));
  expect(at(0)).toEqual([0x00, 0x72, 0xb2].map((c) => Math.round(255 + 0.3 * (c - 255))).concat(255));
});
