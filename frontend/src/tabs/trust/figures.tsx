// The small plots of the verdict: one idea each, with a label for those who cannot see them.

import type { ComponentChildren } from "preact";
import { fixed } from "../../numbers";

const WIDTH = 300;
const LEFT = 8;
const RIGHT = WIDTH - 8;
const BINS = 28;

const Figure = ({ height, label, children }: { height: number; label: string; children: ComponentChildren }) => (
  <svg class="figure" viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label={label}>{children}</svg>
);

function Text({ x, y, text, anchor, told }: { x: number; y: number; text: string; anchor?: "start" | "middle" | "end"; told?: boolean }) {
  return <text class={told ? "told" : "tick"} x={x} y={y} text-anchor={anchor ?? "start"}>{text}</text>;
}

/** From values between `low` and `high` to positions between `from` and `to`. */
const scale = (low: number, high: number, from = LEFT, to = RIGHT) => (value: number): number =>
  from + ((value - low) / (high - low)) * (to - from);

/** The importance for transformed copies of the map, and for the map itself, which is the first value. */
export function Histogram({ values, label }: { values: readonly number[]; label: string }) {
  const [own, ...others] = values as [number, ...number[]];
  const low = Math.min(0, ...values);
  const high = Math.max(...values) > low ? Math.max(...values) : low + 1;
  const counts = new Array<number>(BINS).fill(0);
  for (const other of others) counts[Math.min(BINS - 1, Math.floor(((other - low) / (high - low)) * BINS))]! += 1;
  const [base, top] = [104, 24];
  const width = (RIGHT - LEFT) / BINS;
  const most = Math.max(1, ...counts);
  const height = (count: number): number => count && Math.max(3, ((base - top) * count) / most); // a single copy must be visible
  const at = scale(low, high)(own);
  const right = at > WIDTH / 2;
  return (
    <Figure height={122} label={label}>
      {counts.map((count, i) => (
        <rect key={i} class="others" x={LEFT + i * width + 0.5} width={width - 1} y={base - height(count)} height={height(count)} />
      ))}
      <line class="axis" x1={LEFT} x2={RIGHT} y1={base} y2={base} />
      <line class="mark" x1={at} x2={at} y1={6} y2={base} />
      <Text told x={right ? at - 6 : at + 6} y={15} anchor={right ? "end" : "start"} text="this map" />
      <Text x={LEFT} y={117} text={fixed(low, 1)} />
      <Text x={WIDTH / 2} y={117} anchor="middle" text="importance, in standard deviations" />
      <Text x={RIGHT} y={117} anchor="end" text={fixed(high, 1)} />
    </Figure>
  );
}

/** Named bars from a common zero, the longest as wide as there is room. */
export function Amounts({ rows, label }: { rows: readonly { name: string; value: number; kind: string }[]; label: string }) {
  const values = rows.map((row) => row.value);
  const x = scale(Math.min(0, ...values), Math.max(0.05, ...values), LEFT, RIGHT - 44);
  return (
    <Figure height={rows.length * 36 + 4} label={label}>
      {rows.map(({ name, value, kind }, i) => {
        const [start, end] = [x(Math.min(0, value)), x(Math.max(0, value))];
        return (
          <g key={name} transform={`translate(0 ${36 * i})`}>
            <Text x={LEFT} y={12} text={name} />
            <rect class={kind} x={start} y={17} height={13} rx={2} width={Math.max(1.5, end - start)} />
            <Text told x={end + 6} y={28} text={fixed(value)} />
          </g>
        );
      })}
    </Figure>
  );
}

interface Row {
  name: string;
  values: readonly number[];
  /** Circles for copies, squares for other classes: distinguished without colour. */
  kind: "copy" | "class";
}

/** Rank correlations as dots in rows, and the band in which those of the copies lie. */
export function Correlations({ rows, band, label }: { rows: readonly Row[]; band: number | null; label: string }) {
  const least = Math.min(0, ...rows.flatMap((row) => row.values));
  const ticks = least < -0.5 ? [-1, 0, 1] : least < 0 ? [-0.5, 0, 0.5, 1] : [0, 0.5, 1];
  const [from, to] = [96, RIGHT - 4];
  const x = scale(ticks[0]!, 1, from, to);
  const base = 10 + rows.length * 26;
  return (
    <Figure height={base + 32} label={label}>
      {band !== null && <rect class="band" x={x(band)} width={Math.max(1, to - x(band))} y={4} height={base - 4} />}
      {ticks.map((value) => (
        <g key={value}>
          <line class="axis" x1={x(value)} x2={x(value)} y1={4} y2={base} />
          <Text x={x(value)} y={base + 13} anchor="middle" text={String(value).replace("-", "−")} />
        </g>
      ))}
      <Text x={(from + to) / 2} y={base + 27} anchor="middle" text="rank correlation with the map" />
      {rows.map(({ name, values, kind }, i) => (
        <g key={name} transform={`translate(0 ${26 * i})`}>
          <Text x={LEFT} y={26} text={name} />
          {values.map((value, n) => {
            const radius = kind === "class" ? 4.5 : 5;
            const [left, top] = [x(value) - radius, 22 + (n % 2 ? 3 : -3) - radius];
            return <rect key={n} class={`dot ${kind}`} x={left} y={top} width={2 * radius} height={2 * radius} rx={kind === "class" ? 0 : 5} />;
          })}
        </g>
      ))}
    </Figure>
  );
}

/** A fraction of one, with a second one marked in it. */
export function Fractions({ value, mark, label }: { value: number; mark: number; label: string }) {
  const x = scale(0, 1)(mark);
  return (
    <Figure height={40} label={label}>
      <rect class="track" x={LEFT} y={6} width={RIGHT - LEFT} height={14} rx={3} />
      <rect class="own" x={LEFT} y={6} width={Math.max(2, value * (RIGHT - LEFT))} height={14} rx={3} />
      <line class="mark" x1={x} x2={x} y1={2} y2={24} />
      {mark > 0.3 && <Text x={LEFT} y={36} text="0 %" />}
      <Text x={x} y={36} anchor={mark > 0.85 ? "end" : mark < 0.15 ? "start" : "middle"} text="second class" />
      {mark < 0.7 && <Text x={RIGHT} y={36} anchor="end" text="100 %" />}
    </Figure>
  );
}
