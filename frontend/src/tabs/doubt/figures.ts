// The little plots of the verdict: one idea each, told in words for those who cannot see them.

import { type Child, svg } from "../../dom";
import { fixed } from "../../numbers";

const WIDTH = 300;
const LEFT = 8;
const RIGHT = WIDTH - 8;

function figure(height: number, words: string, ...parts: Child[]): SVGSVGElement {
  return svg("svg", { class: "figure", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": words }, ...parts);
}

function text(x: number, y: number, words: string, anchor = "start", kind = "tick"): SVGTextElement {
  return svg("text", { class: kind, x: x.toFixed(1), y, "text-anchor": anchor }, words);
}

const BINS = 28;
const plain = (value: number): string => fixed(value, 1);

/** How often which importance came up for transformed copies of the map, and that of the map itself. */
export function importances(all: readonly number[], words: string): SVGSVGElement {
  const [own, ...others] = all as [number, ...number[]];
  const low = Math.min(0, ...all);
  const high = Math.max(...all) > low ? Math.max(...all) : low + 1;
  const counts = new Array<number>(BINS).fill(0);
  for (const other of others) {
    const bin = Math.min(BINS - 1, Math.floor(((other - low) / (high - low)) * BINS));
    counts[bin] = counts[bin]! + 1;
  }
  const most = Math.max(1, ...counts);
  const across = (value: number): number => LEFT + ((value - low) / (high - low)) * (RIGHT - LEFT);
  const [base, top] = [104, 24];
  const wide = (RIGHT - LEFT) / BINS;
  const tall = (count: number): number => Math.max(3, ((base - top) * count) / most); // a single place is to be seen, too
  const bars = counts.map(
    (count, i) =>
      count > 0 &&
      svg("rect", {
        class: "others",
        x: (LEFT + i * wide + 0.5).toFixed(1),
        width: (wide - 1).toFixed(1),
        y: (base - tall(count)).toFixed(1),
        height: tall(count).toFixed(1),
      }),
  );
  const at = across(own);
  const right = at > WIDTH / 2;
  return figure(
    122,
    words,
    ...bars,
    svg("line", { class: "axis", x1: LEFT, x2: RIGHT, y1: base, y2: base }),
    svg("line", { class: "mark", x1: at.toFixed(1), x2: at.toFixed(1), y1: 6, y2: base }),
    text(right ? at - 6 : at + 6, 15, "this map", right ? "end" : "start", "told"),
    text(LEFT, 117, plain(low)),
    text(WIDTH / 2, 117, "importance, in standard deviations", "middle"),
    text(RIGHT, 117, plain(high), "end"),
  );
}

/** Named bars from a common zero, the longest as wide as there is room. */
export function amounts(rows: readonly { name: string; value: number; kind: string }[], words: string): SVGSVGElement {
  const reach = Math.max(0.05, ...rows.map((row) => row.value));
  const low = Math.min(0, ...rows.map((row) => row.value));
  const [from, to] = [LEFT, RIGHT - 44];
  const across = (value: number): number => from + ((value - low) / (reach - low)) * (to - from);
  return figure(
    rows.length * 36 + 4,
    words,
    ...rows.flatMap((row, i) => {
      const [start, end] = [across(Math.min(0, row.value)), across(Math.max(0, row.value))];
      return [
        text(from, 12 + 36 * i, row.name, "start", "tick"),
        svg("rect", { class: row.kind, x: start.toFixed(1), y: 17 + 36 * i, height: 13, rx: 2, width: Math.max(1.5, end - start).toFixed(1) }),
        text(end + 6, 28 + 36 * i, fixed(row.value), "start", "told"),
      ];
    }),
  );
}

/** Rank correlations as dots in rows, and the band in which those of copies lie. */
export function dots(
  rows: readonly { name: string; values: readonly number[]; kind: string }[],
  band: number | null,
  words: string,
): SVGSVGElement {
  const every = rows.flatMap((row) => row.values);
  const low = Math.min(0, ...every) < -0.5 ? -1 : Math.min(0, ...every) < 0 ? -0.5 : 0;
  const [from, to] = [96, RIGHT - 4];
  const across = (value: number): number => from + ((value - low) / (1 - low)) * (to - from);
  const base = 10 + rows.length * 26;
  const ticks = low === -1 ? [-1, 0, 1] : low === -0.5 ? [-0.5, 0, 0.5, 1] : [0, 0.5, 1];
  return figure(
    base + 32,
    words,
    band !== null &&
      svg("rect", { class: "band", x: across(band).toFixed(1), width: Math.max(1, to - across(band)).toFixed(1), y: 4, height: base - 4 }),
    ...ticks.flatMap((value) => [
      svg("line", { class: "axis", x1: across(value), x2: across(value), y1: 4, y2: base }),
      text(across(value), base + 13, String(value), "middle"),
    ]),
    text((from + to) / 2, base + 27, "rank correlation with the map", "middle"),
    ...rows.flatMap((row, i) => [
      text(LEFT, 26 + 26 * i, row.name),
      ...row.values.map((value, n) => shape(row.kind, across(value), 22 + 26 * i + (n % 2 ? 3 : -3))),
    ]),
  );
}

/** Circles for copies, squares for other classes: told apart without colour. */
function shape(kind: string, x: number, y: number): SVGElement {
  return kind === "class"
    ? svg("rect", { class: "dot class", x: (x - 4.5).toFixed(1), y: y - 4.5, width: 9, height: 9 })
    : svg("circle", { class: "dot copy", cx: x.toFixed(1), cy: y, r: 5 });
}

/** A share of one, with a second one marked in it. */
export function share(value: number, mark: number, words: string): SVGSVGElement {
  const across = (part: number): number => LEFT + part * (RIGHT - LEFT);
  return figure(
    40,
    words,
    svg("rect", { class: "track", x: LEFT, y: 6, width: RIGHT - LEFT, height: 14, rx: 3 }),
    svg("rect", { class: "own", x: LEFT, y: 6, width: Math.max(2, value * (RIGHT - LEFT)).toFixed(1), height: 14, rx: 3 }),
    svg("line", { class: "mark", x1: across(mark).toFixed(1), x2: across(mark).toFixed(1), y1: 2, y2: 24 }),
    mark > 0.3 && text(LEFT, 36, "0 %"),
    text(across(mark), 36, "second class", mark > 0.85 ? "end" : mark < 0.15 ? "start" : "middle"),
    mark < 0.7 && text(RIGHT, 36, "100 %", "end"),
  );
}
