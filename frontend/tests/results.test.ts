import { describe, expect, it } from "vitest";
import { plainGeometry } from "../src/maps/landing";
import { keyOf } from "../src/tabs/compare/table_layout";
import { type Cell, DEFAULT, Results } from "../src/tabs/compare/results";
import type { Selection } from "../src/tabs/compare/selection";

const wish: Selection = { image: "s1", models: ["net"], methods: ["a", "b"], layers: [], targets: ["0", "1"], score: "logit" };

/** A cell whose map has one half float: `bits` times `peak`. */
const cell = (method: string, target: string, peak: number, bits: number, more: object = {}): Cell =>
  ({
    model: "net", method, layer: "last", target, error: null,
    map: { map: { count: 1, height: 1, width: 1, peak, values: btoa(String.fromCharCode(bits & 255, bits >> 8)) }, relu: false, signed: true, percentile: 100 },
    ...more,
  }) as unknown as Cell;

const found = (...cells: Cell[]): Results => {
  const made = new Results(wish, new Image());
  made.expect({ result: { model: "net", geometry: plainGeometry(1, 1) } as never, cells });
  return made;
};

describe("maps of one question", () => {
  const [first, second, other] = [cell("a", "0", 2, 0x3c00), cell("a", "1", 5, 0xbc00), cell("b", "0", 9, 0x3c00)];

  it("share a scale where they have one unit, the largest of theirs", () => {
    const all = found(first, second, other);
    const tops = (shared: boolean): number[] => [...all.fieldsFor(shared).values()].map((field) => field.top);
    expect(tops(false)).toEqual([2, 5, 9]);
    expect(tops(true)).toEqual([5, 5, 9]);
    expect([...all.fieldsFor(true).values()].map((field) => field.showsSigns)).toEqual([true, true, false]);
  });

  it("take the places that were kept for them", () => {
    const awaited = { map: null } as object;
    const all = found(cell("a", "0", 0, 0, awaited), cell("a", "1", 0, 0, awaited), cell("b", "0", 0, 0, awaited));
    all.arrive([first, second]);
    expect(all.cells.map((one) => [one.method, one.target, one.layer, Boolean(one.map)])).toEqual([
      ["a", "0", DEFAULT, true], ["a", "1", DEFAULT, true], ["b", "0", DEFAULT, false],
    ]);
    expect(all.withMap.map(keyOf)).toEqual(all.cells.slice(0, 2).map(keyOf));
  });
});
