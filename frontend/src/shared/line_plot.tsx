// Lines over common axes, drawn as SVG.

export interface Line {
  name: string;
  points: readonly (readonly [number, number])[];
  kind: "first" | "second" | "quiet";
  stroke?: { stroke: string; strokeDasharray: string };
}

interface Axis {
  label: string;
  /** From the points, if not given. */
  range?: [number, number];
}

const WIDTH = 280;
const HEIGHT = 160;
const PAD = { left: 38, right: 10, top: 8, bottom: 30 };

/** `label`: the same in words, for those who cannot see it. */
export function LinePlot({ lines, x, y, label }: { lines: readonly Line[]; x: Axis; y: Axis; label: string }) {
  const points = lines.flatMap((line) => line.points);
  const [x0, x1] = x.range ?? rangeOf(points.map(([at]) => at));
  const [y0, y1] = y.range ?? rangeOf(points.map(([, at]) => at));
  const across = (at: number): number => PAD.left + ((at - x0) / (x1 - x0 || 1)) * (WIDTH - PAD.left - PAD.right);
  const up = (at: number): number => HEIGHT - PAD.bottom - ((at - y0) / (y1 - y0 || 1)) * (HEIGHT - PAD.top - PAD.bottom);
  const ticks = [
    ...[y0, y1].map((at) => ({ at, x: PAD.left - 4, y: up(at) + 3, anchor: "end" as const })),
    ...[x0, x1].map((at) => ({ at, x: across(at), y: HEIGHT - 17, anchor: "middle" as const })),
  ];
  return (
    <svg class="plot" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      <line class="axis" x1={PAD.left} x2={WIDTH - PAD.right} y1={up(y0)} y2={up(y0)} />
      <line class="axis" x1={PAD.left} x2={PAD.left} y1={up(y0)} y2={up(y1)} />
      {ticks.map(({ at, anchor, ...position }, i) => (
        <text key={i} class="tick" {...position} text-anchor={anchor}>
          {(Number.isInteger(at) ? String(at) : at.toPrecision(2)).replace("-", "−")}
        </text>
      ))}
      <text class="label" x={(PAD.left + WIDTH) / 2} y={HEIGHT - 4} text-anchor="middle">{x.label}</text>
      <text class="label" transform={`translate(10 ${HEIGHT / 2 - 10}) rotate(-90)`} text-anchor="middle">{y.label}</text>
      {lines.map((line) => (
        <polyline
          key={line.name}
          class={`line ${line.kind}`}
          style={line.stroke}
          points={line.points.map(([a, b]) => `${across(a).toFixed(1)},${up(b).toFixed(1)}`).join(" ")}
        />
      ))}
    </svg>
  );
}

function rangeOf(values: number[]): [number, number] {
  const known = values.filter(Number.isFinite);
  if (!known.length) return [0, 1];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}
