import { describe, expect, it } from "vitest";
import { Difference, Field } from "../src/maps/field";
import { plainGeometry } from "../src/maps/landing";

const field = (values: number[], width = 3): Field =>
  new Field({ height: values.length / width, width, values: Float32Array.from(values) }, plainGeometry(width, values.length / width), false, true, 100);

describe("the difference of two maps", () => {
  const a = field([0, 2, 4, -9, 1, 0]);
  const b = field([10, 0, 5, 0, -20, 2.5]);
  const expected = [-1, 0.5, 0.5, 0, 0.25, -0.25]; // each positive part divided by its own maximum, 4 and 10

  it("divides each by its own maximum", () => {
    const difference = new Difference(a, b);
    expect([...difference.landed(3, 2)].map((v) => Number(v.toFixed(5)))).toEqual(expected);
    expect(difference.at(1.5, 0.5)).toBeCloseTo(0.5);
    expect(difference.at(0.5, 0.5)).toBeCloseTo(-1);
    expect(difference.largest).toBeCloseTo(1);
    expect(difference.top).toBe(1);
    expect(difference.showsSigns).toBe(true);
  });

  it("is turned round when the maps are", () => {
    const back = [...new Difference(b, a).landed(3, 2)];
    back.forEach((value, i) => expect(value).toBeCloseTo(-expected[i]!));
  });

  it("is nothing for maps of nothing", () => {
    const none = field([0, 0, 0]);
    expect([...new Difference(none, none).landed(3, 1)]).toEqual([0, 0, 0]);
  });
});

describe("maps on one scale", () => {
  it("have the full colour that they are given, and their own values", () => {
    const own = field([0, 2, 4]);
    const shared = own.scaledTo(12, false);
    expect(shared.top).toBe(12);
    expect([...shared.landed(3, 1)]).toEqual([0, 2, 4]);
    expect(shared.showsSigns).toBe(false);
  });
});
