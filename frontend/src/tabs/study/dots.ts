// Numbers with intervals, one below the other over one axis. Drawn of boxes, so that its letters keep their size.

import { h } from "../../dom";

export interface Row {
  name: string;
  value: number | null;
  low: number | null;
  high: number | null;
}

/** A dot and its interval for each row that has a value; the axis is `range`, or as wide as the intervals. */
export function dots(title: string, rows: readonly Row[], range: readonly [number, number] | null, words: string): HTMLElement {
  const known = rows.filter((row) => row.value !== null);
  const ends = known.flatMap((row) => [row.low ?? row.value!, row.high ?? row.value!, row.value!]);
  const [from, to] = range ?? wide(Math.min(0, ...ends), Math.max(0, ...ends));
  const at = (value: number): string => `${(100 * (value - from)) / (to - from)}%`;
  const told = known.map((row) => `${row.name} ${row.value!.toFixed(2)}`).join(", ");
  return h(
    "figure",
    { class: "dots", role: "img", "aria-label": `${title}: ${told}` },
    h("figcaption", {}, h("b", {}, title), h("span", { class: "note" }, words)),
    ...known.map((row) => {
      const span = h("span", { class: "span" });
      const dot = h("span", { class: "dot" });
      span.style.left = at(row.low ?? row.value!);
      span.style.right = `calc(100% - ${at(row.high ?? row.value!)})`;
      dot.style.left = at(row.value!);
      return h("div", { class: "line" }, h("span", { class: "name" }, row.name), h("div", { class: "track" }, ...zero(from, to, at), span, dot));
    }),
    h(
      "div",
      { class: "line axis" },
      h("span", { class: "name" }),
      h("div", { class: "track" }, ...ticks(from, to).map((value) => tick(value, at(value)))),
    ),
  );
}

/** A little wider than the ends, to round numbers. */
function wide(low: number, high: number): [number, number] {
  const step = steps(high - low || 1);
  return [Math.floor(low / step) * step, Math.ceil(high / step) * step || step];
}

function steps(length: number): number {
  const rough = length / 4;
  const ten = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * ten).find((step) => step >= rough)!;
}

function ticks(from: number, to: number): number[] {
  const step = steps(to - from);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function tick(value: number, where: string): HTMLElement {
  const element = h("span", { class: "tick" }, String(Number(value.toPrecision(6))).replace("-", "−"));
  element.style.left = where;
  return element;
}

function zero(from: number, to: number, at: (value: number) => string): HTMLElement[] {
  if (from >= 0 || to <= 0) return [];
  const line = h("span", { class: "zero" });
  line.style.left = at(0);
  return [line];
}
