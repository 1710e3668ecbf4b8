// Boxes and masks of one image: which one a click takes, and outlines.

import { expect, test } from "vitest";
import { outlineOf, shapeAt, shapesOf } from "../src/tabs/explain/targets";

const target = { spec: "", label: "", name: "", probability: null, box: null, point: null, mask: null };
const box = (name: string, ...rect: number[]) => ({ ...target, name, box: rect as [number, number, number, number] });

test("the smallest box is taken, and small ones are as large as they can be hit", () => {
  const shapes = shapesOf({ size: [100, 50], targets: [box("large", 0, 0, 80, 50), box("small", 20, 20, 24, 24)] });
  const at = (x: number, y: number): string | undefined => shapeAt(shapes, [100, 50], x, y, 12)?.target.name;
  expect([at(22, 22), at(27, 22), at(29, 22), at(90, 22)]).toEqual(["small", "small", "large", undefined]);
});

test("a mask is taken where it is set", () => {
  // Two rows of four cells: only the right half of the first row.
  const mask = { width: 4, height: 2, bits: btoa(String.fromCharCode(0b00110000)) };
  const shapes = shapesOf({ size: [40, 20], targets: [{ ...target, name: "mask", mask }] });
  expect(shapes[0]!.rect).toEqual([20, 0, 40, 10]);
  expect(shapes[0]!.outline).toBe("M2 0H4M2 1H4M2 0V1M4 0V1");
  const at = (x: number, y: number): string | undefined => shapeAt(shapes, [40, 20], x, y, 2)?.target.name;
  expect([at(25, 5), at(15, 5), at(25, 15)]).toEqual(["mask", undefined, undefined]);
});

test("an outline also surrounds holes", () => {
  const ring = { width: 3, height: 3, at: (x: number, y: number) => x >= 0 && y >= 0 && x < 3 && y < 3 && !(x === 1 && y === 1) };
  expect(outlineOf(ring)).toBe("M0 0H3M1 1H2M1 2H2M0 3H3M0 0V3M1 1V2M2 1V2M3 0V3");
});
