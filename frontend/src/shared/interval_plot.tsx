// Numbers with intervals, one below the other on one axis. Made of boxes, so that letters keep their size.

import type { ComponentChildren } from "preact";

interface Row {
  name: string;
  value: number | null;
  low: number | null;
  high: number | null;
  control?: boolean;
}

interface Props {
  /** The same in words, for those who cannot see it. */
  label: string;
  rows: readonly Row[];
  /** The axis; as wide as the intervals if not given. */
  range?: readonly [number, number];
  /** Written beside the intervals, if given. */
  text?: (value: number) => string;
  children: ComponentChildren;
}

export function IntervalPlot({ label, rows, range, text, children }: Props) {
  const known = rows.flatMap(({ value, low, high, ...row }) =>
    value === null ? [] : [{ ...row, value, low: low ?? value, high: high ?? value }],
  );
  const [from, to] = range ?? rounded(known.flatMap((row) => [row.low, row.high, row.value]));
  const at = (value: number): string => `${(100 * (value - from)) / (to - from)}%`;
  const words = known.map(({ name, value }) => `${name} ${text ? text(value) : value.toFixed(2)}`).join("; ");
  const told = text ? "told" : "";
  return (
    <figure class="intervals" role="img" aria-label={`${label}: ${words}`}>
      <figcaption>{children}</figcaption>
      {known.map(({ name, value, low, high, control }) => (
        <div class={`line ${control ? "control" : ""} ${told}`} key={name} title={name}>
          <span class="name">{name}</span>
          <div class="track">
            {from < 0 && to > 0 && <span class="zero" style={{ left: at(0) }} />}
            <span class="span" style={{ left: at(low), right: `calc(100% - ${at(high)})` }} />
            <span class="dot" style={{ left: at(value) }} />
            {text && <span class="value" style={{ left: at(high) }}>{text(value)}</span>}
          </div>
        </div>
      ))}
      <div class={`line axis ${told}`} aria-hidden="true">
        <span class="name" />
        <div class="track">
          {ticks(from, to).map((value) => (
            <span class="tick" key={value} style={{ left: at(value) }}>
              {String(Number(value.toPrecision(6))).replace("-", "−")}
            </span>
          ))}
        </div>
      </div>
    </figure>
  );
}

/** A little wider than the numbers, to round ones. */
function rounded(numbers: readonly number[]): [number, number] {
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const step = stepOf(high - low || 1);
  return [Math.floor(low / step) * step, Math.ceil(high / step) * step + (high === low ? step : 0)];
}

function stepOf(length: number): number {
  const ten = 10 ** Math.floor(Math.log10(length / 4));
  return [1, 2, 5, 10].map((factor) => factor * ten).find((step) => step >= length / 4)!;
}

function ticks(from: number, to: number): number[] {
  const step = stepOf(to - from);
  const first = Math.ceil(from / step - 1e-9);
  return Array.from({ length: Math.floor(to / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}
