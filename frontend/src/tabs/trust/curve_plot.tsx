// Insertion or deletion as a plot that grows while its points arrive.

import { fixed } from "../../numbers";
import type { CurveLine } from "./schemas";

const WIDTH = 440;
const HEIGHT = 240;
const PAD = { left: 44, right: 12, top: 10, bottom: 36 };

export type CurveKind = "insertion" | "deletion";
/** The orders of removal, as they are drawn and called. */
const ORDERS = [
  { of: "map", name: "this map" },
  { of: "centre", name: "centre first" },
  { of: "random", name: "random order" },
] as const;

/** What has arrived of the curves of one kind, by order. */
export type CurveSet = Readonly<Record<string, { values: readonly number[]; area: number | null }>>;

export function withLine(curves: CurveSet, line: CurveLine): CurveSet {
  const before = curves[line.of];
  const values = [...(before?.values ?? [])];
  line.values.forEach((value, i) => (values[line.start + i] = value));
  return { ...curves, [line.of]: { values, area: line.area ?? before?.area ?? null } };
}

const across = (fraction: number): number => PAD.left + fraction * (WIDTH - PAD.left - PAD.right);
const up = (probability: number): number => HEIGHT - PAD.bottom - probability * (HEIGHT - PAD.top - PAD.bottom);

interface Props {
  kind: CurveKind;
  help: string;
  curves: CurveSet;
  steps: number;
  /** The marked step. */
  at: number;
  /** Told the step under the pointer. */
  change: (step: number) => void;
}

export function CurvePlot({ kind, help, curves, steps, at, change }: Props) {
  const axis = kind === "insertion" ? "fraction of pixels inserted" : "fraction of pixels removed";
  const areas = ORDERS.map(({ of, name }) => ({ of, name, area: curves[of]?.area ?? null }));
  const label = areas.map(({ name, area }) => `${name} ${area === null ? "not yet" : fixed(area, 3)}`).join(", ");
  const here = curves.map?.values[at];
  const point = (event: PointerEvent): void => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const fraction = (((event.clientX - box.left) / box.width) * WIDTH - PAD.left) / (WIDTH - PAD.left - PAD.right);
    change(Math.round(Math.min(1, Math.max(0, fraction)) * steps));
  };
  return (
    <section class="card">
      <h3>
        {kind === "insertion" ? "Insertion" : "Deletion"}
        <span class="answer">{curves.map?.area == null ? "…" : fixed(curves.map.area, 3)}</span>
      </h3>
      <svg
        class="walk"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`Probability of the class against the ${axis}. Areas: ${label}`}
        onPointerMove={point}
        onPointerDown={point}
      >
        {[0, 0.5, 1].map((part) => (
          <g key={part}>
            <line class="axis" x1={PAD.left} x2={WIDTH - PAD.right} y1={up(part)} y2={up(part)} />
            <text class="tick" x={PAD.left - 5} y={up(part) + 3} text-anchor="end">{`${100 * part} %`}</text>
            <text class="tick" x={across(part)} y={HEIGHT - 21} text-anchor={part === 1 ? "end" : "middle"}>{`${100 * part} %`}</text>
          </g>
        ))}
        <text class="label" x={across(0.5)} y={HEIGHT - 5} text-anchor="middle">
          {axis}
        </text>
        {[...ORDERS].reverse().map(({ of }) => {
          const values = curves[of]?.values;
          if (!values?.length) return null;
          const points = values.map((value, i) => `${across(i / steps).toFixed(1)},${up(value).toFixed(1)}`).join(" ");
          const end = across((values.length - 1) / steps).toFixed(1);
          return (
            <g key={of}>
              {of === "map" && <polygon class="area" points={`${across(0)},${up(0)} ${points} ${end},${up(0)}`} />}
              <polyline class={`line ${of}`} points={points} />
            </g>
          );
        })}
        {here !== undefined && (
          <>
            <line class="cursor" x1={across(at / steps)} x2={across(at / steps)} y1={up(1)} y2={up(0)} />
            <circle class="cursor" cx={across(at / steps)} cy={up(here)} r={4.5} />
          </>
        )}
      </svg>
      <ul class="legend">
        {areas.map(({ of, name, area }) => (
          <li key={of}>
            <svg class="key" viewBox="0 0 26 8" aria-hidden="true">
              <line class={`line ${of}`} x1={1} x2={25} y1={4} y2={4} />
            </svg>
            <span>{name}</span>
            <b>{area === null ? "…" : fixed(area, 3)}</b>
          </li>
        ))}
      </ul>
      <p class="note">{help}</p>
    </section>
  );
}

/** "insertion 0.812: better than both baselines". */
export function curveText(kind: CurveKind, curves: CurveSet): string {
  const own = curves.map?.area ?? 0;
  const others = ["centre", "random"].map((of) => curves[of]?.area ?? 0);
  const beaten = others.filter((other) => (kind === "insertion" ? own > other : own < other)).length;
  const words = ["not better than either baseline", "better than one baseline", "better than both baselines"][beaten];
  return `${kind} ${fixed(own, 3)}: ${words}`;
}
