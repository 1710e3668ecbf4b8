// The small plots of the verdict: one idea each, with a label for those who cannot see them.

import type { ComponentChildren } from "preact";
import { fixed } from "../../numbers";

const WIDTH = 300;
const LEFT = 8;
const RIGHT = WIDTH - 8;
const BINS = 28;

function Figure(props: { height: number; label: string; children: ComponentChildren }) {
  return (
    <svg class="figure" viewBox={`0 0 ${WIDTH} ${props.height}`} role="img" aria-label={props.label}>
      {props.children}
    </svg>
  );
}

function Text(props: { x: number; y: number; children: ComponentChildren; anchor?: "start" | "middle" | "end"; class?: string }) {
  return (
    <text class={props.class ?? "tick"} x={props.x.toFixed(1)} y={props.y} text-anchor={props.anchor ?? "start"}>
      {props.children}
    </text>
  );
}

/** The importance for transformed copies of the map, and for the map itself, which is the first value. */
export function Histogram({ values, label }: { values: readonly number[]; label: string }) {
  const [own, ...others] = values as [number, ...number[]];
  const low = Math.min(0, ...values);
  const high = Math.max(...values) > low ? Math.max(...values) : low + 1;
  const counts = new Array<number>(BINS).fill(0);
  for (const other of others) counts[Math.min(BINS - 1, Math.floor(((other - low) / (high - low)) * BINS))]! += 1;
  const most = Math.max(1, ...counts);
  const [base, top] = [104, 24];
  const width = (RIGHT - LEFT) / BINS;
  const height = (count: number): number => Math.max(3, ((base - top) * count) / most); // a single copy must be visible
  const at = LEFT + ((own - low) / (high - low)) * (RIGHT - LEFT);
  const right = at > WIDTH / 2;
  return (
    <Figure height={122} label={label}>
      {counts.map(
        (count, i) =>
          count > 0 && (
            <rect key={i} class="others" x={(LEFT + i * width + 0.5).toFixed(1)} width={(width - 1).toFixed(1)} y={(base - height(count)).toFixed(1)} height={height(count).toFixed(1)} />
          ),
      )}
      <line class="axis" x1={LEFT} x2={RIGHT} y1={base} y2={base} />
      <line class="mark" x1={at.toFixed(1)} x2={at.toFixed(1)} y1={6} y2={base} />
      <Text x={right ? at - 6 : at + 6} y={15} anchor={right ? "end" : "start"} class="told">
        this map
      </Text>
      <Text x={LEFT} y={117}>
        {fixed(low, 1)}
      </Text>
      <Text x={WIDTH / 2} y={117} anchor="middle">
        importance, in standard deviations
      </Text>
      <Text x={RIGHT} y={117} anchor="end">
        {fixed(high, 1)}
      </Text>
    </Figure>
  );
}

/** Named bars from a common zero, the longest as wide as there is room. */
export function Amounts(props: { rows: readonly { name: string; value: number; kind: string }[]; label: string }) {
  const { rows, label } = props;
  const reach = Math.max(0.05, ...rows.map((row) => row.value));
  const low = Math.min(0, ...rows.map((row) => row.value));
  const x = (value: number): number => LEFT + ((value - low) / (reach - low)) * (RIGHT - 44 - LEFT);
  return (
    <Figure height={rows.length * 36 + 4} label={label}>
      {rows.map(({ name, value, kind }, i) => {
        const [start, end] = [x(Math.min(0, value)), x(Math.max(0, value))];
        return (
          <g key={name}>
            <Text x={LEFT} y={12 + 36 * i}>
              {name}
            </Text>
            <rect class={kind} x={start.toFixed(1)} y={17 + 36 * i} height={13} rx={2} width={Math.max(1.5, end - start).toFixed(1)} />
            <Text x={end + 6} y={28 + 36 * i} class="told">
              {fixed(value)}
            </Text>
          </g>
        );
      })}
    </Figure>
  );
}

/** Rank correlations as dots in rows, and the band in which those of the copies lie. */
export function Correlations(props: {
  rows: readonly { name: string; values: readonly number[]; kind: string }[];
  band: number | null;
  label: string;
}) {
  const { rows, band, label } = props;
  const least = Math.min(0, ...rows.flatMap((row) => row.values));
  const low = least < -0.5 ? -1 : least < 0 ? -0.5 : 0;
  const [from, to] = [96, RIGHT - 4];
  const x = (value: number): number => from + ((value - low) / (1 - low)) * (to - from);
  const base = 10 + rows.length * 26;
  const ticks = low === -1 ? [-1, 0, 1] : low === -0.5 ? [-0.5, 0, 0.5, 1] : [0, 0.5, 1];
  return (
    <Figure height={base + 32} label={label}>
      {band !== null && <rect class="band" x={x(band).toFixed(1)} width={Math.max(1, to - x(band)).toFixed(1)} y={4} height={base - 4} />}
      {ticks.map((value) => (
        <g key={value}>
          <line class="axis" x1={x(value)} x2={x(value)} y1={4} y2={base} />
          <Text x={x(value)} y={base + 13} anchor="middle">
            {String(value).replace("-", "−")}
          </Text>
        </g>
      ))}
      <Text x={(from + to) / 2} y={base + 27} anchor="middle">
        rank correlation with the map
      </Text>
      {rows.map((row, i) => (
        <g key={row.name}>
          <Text x={LEFT} y={26 + 26 * i}>
            {row.name}
          </Text>
          {row.values.map((value, n) => (
            <Dot key={n} kind={row.kind} x={x(value)} y={22 + 26 * i + (n % 2 ? 3 : -3)} />
          ))}
        </g>
      ))}
    </Figure>
  );
}

/** Circles for copies, squares for other classes: distinguished without colour. */
function Dot({ kind, x, y }: { kind: string; x: number; y: number }) {
  if (kind === "class") return <rect class="dot class" x={(x - 4.5).toFixed(1)} y={y - 4.5} width={9} height={9} />;
  return <circle class="dot copy" cx={x.toFixed(1)} cy={y} r={5} />;
}

/** A fraction of one, with a second one marked in it. */
export function Fractions({ value, mark, label }: { value: number; mark: number; label: string }) {
  const x = (part: number): number => LEFT + part * (RIGHT - LEFT);
  return (
    <Figure height={40} label={label}>
      <rect class="track" x={LEFT} y={6} width={RIGHT - LEFT} height={14} rx={3} />
      <rect class="own" x={LEFT} y={6} width={Math.max(2, value * (RIGHT - LEFT)).toFixed(1)} height={14} rx={3} />
      <line class="mark" x1={x(mark).toFixed(1)} x2={x(mark).toFixed(1)} y1={2} y2={24} />
      {mark > 0.3 && (
        <Text x={LEFT} y={36}>
          0 %
        </Text>
      )}
      <Text x={x(mark)} y={36} anchor={mark > 0.85 ? "end" : mark < 0.15 ? "start" : "middle"}>
        second class
      </Text>
      {mark < 0.7 && (
        <Text x={RIGHT} y={36} anchor="end">
          100 %
        </Text>
      )}
    </Figure>
  );
}
