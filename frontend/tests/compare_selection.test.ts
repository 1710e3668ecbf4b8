// The targets of a comparison in the address: commas belong to points and texts as well.

import { expect, test } from "vitest";
import { joinList, splitList } from "../src/tabs/compare/selection";

test.each([
  [["box 1", "dog at 120,80", "text:a dog, running"]],
  [["smooth(positive(hires_cam), n=4)", "grad_cam"]],
  [["class:bus rather than car at 12.5,8"]],
])("%j is written and read", (values) => expect(splitList(joinList(values))).toEqual(values));

test("commas within parentheses are not escaped", () => {
  expect(joinList(["smooth(hires_cam, n=4)", "grad_cam"])).toBe("smooth(hires_cam, n=4),grad_cam");
});
