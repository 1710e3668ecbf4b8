import { describe, expect, it } from "vitest";
import { minutes, percent, portion, short } from "../src/numbers";
import { splitList } from "../src/tabs/compare/selection";
import { EDGE, Layout } from "../src/tabs/dataset/points";
import { type CurveKind, curveText } from "../src/tabs/trust/curves";

const ranked = (own: number, [centre, random]: number[], high: boolean): string => {
  const curve = (area: number) => ({ values: [], area });
  const kind: CurveKind = high ? "insertion" : "deletion";
  const text = curveText(kind, { map: curve(own), centre: curve(centre!), random: curve(random!) });
  return text.split(": ")[1]!;
};

describe("points on a canvas", () => {
  const dots = { x: [0, 10, 10, 0], y: [0, 0, 4, 4] };
  const places = new Layout(dots, 2 * EDGE + 100, 2 * EDGE + 80);
  const none = [false, false, false, false];

  it("keep one scale for both axes, y upwards, in the middle", () => {
    const at = [0, 1, 2, 3].map((i) => places.of(i));
    expect(at[0]).toEqual([EDGE, EDGE + 60]); // below: its y is the lower one
    expect(at[1]).toEqual([EDGE + 100, EDGE + 60]);
    expect(at[2]).toEqual([EDGE + 100, EDGE + 20]);
  });

  it("are found where the pointer is, the nearest of them", () => {
    expect(places.nearest(EDGE + 3, EDGE + 58, 12, none)).toBe(0);
    expect(places.nearest(EDGE + 50, EDGE + 40, 12, none)).toBeNull();
    expect(places.nearest(EDGE + 3, EDGE + 58, 12, [true, false, false, false])).toBeNull();
    expect(places.nearest(EDGE + 96, EDGE + 30, 60, none)).toBe(2);
  });

  it("lie next in a direction", () => {
    expect(places.towards(0, [1, 0], none)).toBe(1);
    expect(places.towards(0, [0, -1], none)).toBe(3);
    expect(places.towards(0, [-1, 0], none)).toBeNull();
    expect(places.towards(null, [1, 0], [true, false, false, false])).toBe(1);
  });
});

describe("words for numbers", () => {
  it("never say all or nothing of what is neither", () => {
    expect([0, 0.0001, 0.0994, 0.0996, 0.9949, 0.9951, 0.9999, 1].map(percent)).toEqual([
      "0 %", "< 0.1 %", "9.9 %", "10 %", "99 %", "99.5 %", "> 99.9 %", "100 %",
    ]);
    expect([0, 0.004, 0.5].map(portion)).toEqual(["0 %", "less than 1 %", "50 %"]);
    expect([1234.5, -0.5, 0, NaN, 0.0001].map(short)).toEqual(["1235", "−0.500", "0.00", "outside the network input", "1.0e−4"]);
  });

  it("rank a curve's area among others by which way is good", () => {
    expect(ranked(0.5, [0.4, 0.3], true)).toBe("better than both baselines");
    expect(ranked(0.5, [0.4, 0.3], false)).toBe("not better than either baseline");
    expect(ranked(0.5, [0.6, 0.3], false)).toBe("better than one baseline");
    expect(ranked(0.5, [0.5, 0.5], true)).toBe("not better than either baseline");
  });

  it("tell how long a study takes", () => {
    expect([1, 10, 100].map(minutes)).toEqual(["about a minute", "about a minute", "about 10 minutes"]);
  });

  it("read a list with commas in brackets", () => {
    expect(splitList("a,smooth(b, n=2) , a,,fuse_max(c,d)")).toEqual(["a", "smooth(b, n=2)", "fuse_max(c,d)"]);
    expect(splitList("")).toEqual([]);
  });
});
