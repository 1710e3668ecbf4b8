// Results that are kept.

import { expect, test } from "vitest";
import { Kept } from "../src/kept";

test("the last results are kept, each made once", () => {
  const kept = new Kept<string>(2);
  let made = 0;
  const of = (key: string): string => kept.of(key, () => `${key}${++made}`);
  expect([of("a"), of("b"), of("a"), of("c"), of("b")]).toEqual(["a1", "b2", "a1", "c3", "b2"]);
  expect(of("a")).toBe("a4"); // the oldest was forgotten
  kept.delete("c");
  expect([kept.has("c"), kept.get("a")]).toEqual([false, "a4"]);
});
