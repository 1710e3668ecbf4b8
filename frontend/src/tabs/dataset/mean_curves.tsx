// The mean curves of a metric, such as deletion: one line per method.

import { digits } from "../../numbers";
import { LinePlot } from "../../shared/line_plot";
import type { Curves } from "./schemas";

/** Distinguished by colour and by dashes. */
const COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933"];
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "5 2", "1 2", "12 4", "4 4 1 4"];
const strokeOf = (i: number) => ({ stroke: COLOURS[i % COLOURS.length]!, strokeDasharray: DASHES[i % DASHES.length]! });

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
