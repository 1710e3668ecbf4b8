// The scores of a metric with their intervals, and its mean curves.

import { digits } from "../../numbers";
import { LinePlot } from "../../shared/line_plot";
import type { Method, Metric, ScoreOf } from "./evaluation";
import type { Curves } from "./schemas";

const WIDTH = 520;
const LEFT = 170;
const RIGHT = 60;
const LINE = 24;
/** Distinguished by colour and by dashes. */
const COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933"];
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "5 2", "1 2", "12 4", "4 4 1 4"];
const strokeOf = (i: number) => ({ stroke: COLOURS[i % COLOURS.length]!, strokeDasharray: DASHES[i % DASHES.length]! });

/** One line per method: its score as a dot, its interval as a line. */
export function ScorePlot({ methods, metric, scoreOf }: { methods: readonly Method[]; metric: Metric; scoreOf: ScoreOf }) {
  const rows = methods.flatMap((method) => {
    const score = scoreOf(metric, method);
    if (score?.value == null) return [];
    return [{ method, value: score.value, low: score.low ?? score.value, high: score.high ?? score.value }];
  });
  const ends = rows.flatMap(({ value, low, high }) => [value, low, high]);
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  const x = (value: number): number => LEFT + ((value - least) / (most - least || 1)) * (WIDTH - LEFT - RIGHT);
  const height = LINE * rows.length + 28;
  const label = `${metric.name}: ${rows.map(({ method, value }) => `${method.name} ${digits(value)}`).join("; ")}`;
  return (
    <svg class="dots" viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label={label}>
      {[least, (least + most) / 2, most].map((value, i) => (
        <g key={i}>
          <line class="grid" x1={x(value)} x2={x(value)} y1={4} y2={height - 22} />
          <text class="tick" x={x(value)} y={height - 6} text-anchor="middle">
            {digits(value)}
          </text>
        </g>
      ))}
      {rows.map(({ method, value, low, high }, i) => {
        const y = LINE * i + LINE / 2 + 4;
        const kind = method.control ? "control" : "method";
        return (
          <g key={method.name}>
            <text class={`name ${kind}`} x={LEFT - 12} y={y + 4} text-anchor="end">
              {method.name.length > 25 ? `${method.name.slice(0, 24)}…` : method.name}
            </text>
            <line class={`span ${kind}`} x1={x(low)} x2={x(high)} y1={y} y2={y} />
            <circle class={`dot ${kind}`} cx={x(value)} cy={y} r={5} />
            <text class="value" x={x(high) + 9} y={y + 4}>
              {digits(value)}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

export function MeanCurves({ found }: { found: Curves }) {
  const last = Math.max(1, (found.lines[0]?.mean.length ?? 1) - 1);
  const lines = found.lines.map((line, i) => ({
    name: line.method,
    kind: "first" as const,
    points: line.mean.map((value, step) => [step / last, value] as const),
    stroke: strokeOf(i),
  }));
  const values = lines.flatMap((line) => line.points.map(([, value]) => value));
  const [low, top] = [Math.min(0, ...values), Math.max(...values)];
  const each = found.lines.map((line) => `${line.method} from ${digits(line.mean[0])} to ${digits(line.mean.at(-1))}`);
  return (
    <figure class="card curves">
      <h3>
        {found.metric}
        <span class="note"> mean curves</span>
      </h3>
      <p class="note">{`Vertical axis: ${found.y_label}.`}</p>
      <LinePlot
        lines={lines}
        x={{ label: found.x_label, range: [0, 1] }}
        y={{ label: "", range: [low, top <= 1 && low >= 0 ? 1 : top] }}
        label={`${found.y_label} by ${found.x_label}: ${each.join("; ")}`}
      />
      <figcaption class="legend">
        {found.lines.map((line, i) => (
          <span class="row" key={line.method}>
            <svg viewBox="0 0 30 10" width={30} height={10} aria-hidden="true">
              <line x1={0} x2={30} y1={5} y2={5} stroke-width={2.5} style={strokeOf(i)} />
            </svg>
            {line.method}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
