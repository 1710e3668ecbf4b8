// Numbers with intervals, one below the other on one axis. Made of boxes, so that letters keep their size.

import type { ComponentChildren } from "preact";

interface Row {
  name: string;
  value: number | null;
  low: number | null;
  high: number | null;
  /** Drawn hollow. */
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
  const known = rows.flatMap(({ value, low, high, ...row }) => (value === null ? [] : [{ ...row, value, low: low ?? value, high: high ?? value }]));
  const ends = known.flatMap((row) => [row.low, row.high, row.value]);
  const [from, to] = range ?? rounded(Math.min(...ends), Math.max(...ends));
  const at = (value: number): string => `${(100 * (value - from)) / (to - from)}%`;
  return (
    <figure class="intervals" role="img" aria-label={`${label}: ${known.map((row) => `${row.name} ${(text ?? toHundredths)(row.value)}`).join("; ")}`}>
      <figcaption>{children}</figcaption>
      {known.map((row) => (
        <div class={`line ${row.control ? "control" : ""} ${text ? "told" : ""}`} key={row.name} title={row.name}>
          <span class="name">{row.name}</span>
          <div class="track">
            {from < 0 && to > 0 && <span class="zero" style={{ left: at(0) }} />}
            <span class="span" style={{ left: at(row.low), right: `calc(100% - ${at(row.high)})` }} />
            <span class="dot" style={{ left: at(row.value) }} />
            {text && <span class="value" style={{ left: at(row.high) }}>{text(row.value)}</span>}
          </div>
        </div>
      ))}
      <div class={`line axis ${text ? "told" : ""}`} aria-hidden="true">
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

const toHundredths = (value: number): string => value.toFixed(2);

/** A little wider than the ends, to round numbers. */
function rounded(low: number, high: number): [number, number] {
  const step = stepOf(high - low || 1);
  return [Math.floor(low / step) * step, Math.ceil(high / step) * step + (high === low ? step : 0)];
}

function stepOf(length: number): number {
  const rough = length / 4;
  const ten = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * ten).find((step) => step >= rough)!;
}

function ticks(from: number, to: number): number[] {
  const step = stepOf(to - from);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}
