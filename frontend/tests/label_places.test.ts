// Labels of boxes: each in its corner if that is free, and none over another.

import { expect, test } from "vitest";
import { type Box, labelPlaces } from "../src/tabs/explain/target_marks";

const FRAME = { width: 200, height: 200 };
const SIZE = { width: 40, height: 14 };
const box = (left: number, top: number, right: number, bottom: number): Box => ({ left, top, right, bottom });

function boxesOf(boxes: readonly Box[]): (Box | null)[] {
  const places = labelPlaces(boxes, boxes.map(() => SIZE), FRAME);
  return places.map((place) => place && box(place.x, place.y, place.x + SIZE.width, place.y + SIZE.height));
}

test("a label is in the upper left corner of its box", () => {
  expect(labelPlaces([box(20, 30, 90, 90), box(120, 30, 190, 90)], [SIZE, SIZE], FRAME)).toEqual([{ x: 20, y: 30 }, { x: 120, y: 30 }]);
});

test("no label hides another, and the first box has its corner", () => {
  const boxes = Array.from({ length: 8 }, (_, i) => box(20 + i, 30 + i, 120 + i, 120 + i));
  const made = boxesOf(boxes);
  expect(made[0]).toEqual(box(20, 30, 60, 44));
  const placed = made.filter((one): one is Box => one !== null);
  expect(placed.length).toBe(8);
  for (const a of placed)
    for (const b of placed)
      if (a !== b) expect(a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom).toBe(false);
});

test("labels stay in the frame, and one without a free place has none", () => {
  const corner = box(190, 190, 200, 200);
  const made = boxesOf([corner, corner, corner, corner, corner, corner, corner]);
  for (const one of made) if (one) expect([one.left >= 0, one.top >= 0, one.right <= 200, one.bottom <= 200]).toEqual([true, true, true, true]);
  expect(made.at(-1)).toBeNull();
  expect(made[0]).not.toBeNull();
});
