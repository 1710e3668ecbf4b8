// Evaluations: methods by metrics with their intervals. The selected metric sorts the table and is plotted.

import { digits } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { IntervalPlot } from "../../shared/interval_plot";
import { useGet } from "../../shared/use_request";
import { setTabValues, tabValue } from "../../state/view";
import { MeanCurves } from "./mean_curves";
import { type Curves, type Evaluation, query, type RunInfo } from "./schemas";

type Metric = Evaluation["metrics"][number];
type Method = Evaluation["methods"][number];
type Score = Evaluation["scores"][number];
type ScoreOf = (metric: Metric, method: Method) => Score | undefined;

const DIRECTIONS = { high: "↑ higher is better", low: "↓ lower is better", neither: "describes" };

export function Evaluations({ run }: { run: RunInfo }) {
  const request = useGet<Evaluation>(query("evaluation", { run: run.id }));
  const found = request.data;
  const metric = found && selectedMetric(found);
  const curvesPath = metric?.curves ? query("curves", { run: run.id, metric: metric.name }) : null;
  const curves = useGet<Curves>(curvesPath);
  const reversed = tabValue("dataset.up") === "1";
  const scores = new Map(found?.scores.map((one) => [`${one.metric} ${one.method}`, one]));
  const scoreOf: ScoreOf = (of, method) => scores.get(`${of.name} ${method.name}`);
  const methods = found && metric ? sortMethods(found.methods, metric, scoreOf, reversed) : [];
  const drawnCurves = curvesPath !== null && curves.key === curvesPath ? curves.data : null;
  return (
    <div class="evaluation" aria-busy={request.busy || undefined} data-drawn={found && metric ? `${found.run} ${metric.name}` : undefined}>
      <ul class="said">
        {request.busy && <li class="note">Computing intervals and tests …</li>}
        {found?.sentences.map((text) => (
          <li key={text}>{text}</li>
        ))}
      </ul>
      <ErrorMessage error={request.error ?? curves.error} retry={request.error ? request.retry : curves.retry} />
      {found && !metric && <p class="note">This run contains no scores.</p>}
      {found && metric && (
        <>
          <div class="scroller card">
            <ScoreTable found={found} methods={methods} metric={metric} reversed={reversed} scoreOf={scoreOf} />
          </div>
          <div class="drawing">
            <div class="card">
              <IntervalPlot label={metric.name} rows={methods.map((method) => rowOf(method, scoreOf(metric, method)))} text={digits}>
                <h3>
                  {metric.name}
                  <span class="note">{` ${DIRECTIONS[metric.better]}`}</span>
                </h3>
                <p class="note">{metric.summary + (metric.distrust ? ` Not trusted here: ${metric.distrust}.` : "")}</p>
                <p class="note">The score of each method with its 95 % bootstrap interval over images. Hollow: controls.</p>
              </IntervalPlot>
            </div>
            {drawnCurves && drawnCurves.lines.length > 0 && <MeanCurves found={drawnCurves} />}
          </div>
          {found.failed > 0 && (
            <details class="card">
              <summary>{`${found.failed} could not be scored`}</summary>
              <ul>
                {found.failures.map((one) => (
                  <li key={one.name}>{`${one.name}: ${one.reason}`}</li>
                ))}
              </ul>
            </details>
          )}
        </>
      )}
    </div>
  );
}

const selectedMetric = ({ metrics }: Evaluation): Metric | null =>
  metrics.find((one) => one.name === tabValue("dataset.metric")) ??
  metrics.find((one) => one.better !== "neither") ??
  metrics[0] ??
  null;

const rowOf = ({ name, control }: Method, score: Score | undefined) => ({
  name,
  control,
  value: score?.value ?? null,
  low: score?.low ?? null,
  high: score?.high ?? null,
});

/** The best first, methods without a score last. */
function sortMethods(methods: readonly Method[], metric: Metric, scoreOf: ScoreOf, reversed: boolean): Method[] {
  const sign = (metric.better === "low" ? 1 : -1) * (reversed ? -1 : 1);
  return [...methods].sort((one, other) => {
    const [a, b] = [scoreOf(metric, one)?.value ?? null, scoreOf(metric, other)?.value ?? null];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return sign * (a - b);
  });
}

interface TableProps {
  found: Evaluation;
  methods: readonly Method[];
  metric: Metric;
  reversed: boolean;
  scoreOf: ScoreOf;
}

function ScoreTable({ found, methods, metric, reversed, scoreOf }: TableProps) {
  const select = (name: string, reverse: boolean): void =>
    setTabValues({ "dataset.metric": name, "dataset.up": reverse ? "1" : null }, true);
  return (
    <table>
      <caption class="note">
        {`${found.n_images} images, maps of ${found.explained}; 95 % intervals. Select a metric to sort by it and to plot it; select it again to reverse the order. ★ better than all others by the paired tests; italics: controls.`}
      </caption>
      <thead>
        <tr>
          <th scope="col">method</th>
          {found.metrics.map((one) => {
            const on = one === metric;
            const ascending = (one.better === "low") !== reversed;
            return (
              <th scope="col" key={one.name} aria-sort={on ? (ascending ? "ascending" : "descending") : "none"}>
                <button class="quiet" aria-pressed={on} data-metric={one.name} onClick={() => select(one.name, on && !reversed)}>
                  {one.name}
                  {on && <span aria-hidden="true">{ascending ? " ↑" : " ↓"}</span>}
                </button>
                <small>{one.distrust ? `${DIRECTIONS[one.better]}; not trusted here` : DIRECTIONS[one.better]}</small>
              </th>
            );
          })}
        </tr>
      </thead>
      <tbody>
        {methods.map((method) => (
          <tr key={method.name} class={method.control ? "control" : ""}>
            <th scope="row">
              {method.name}
              {method.control && <small>{method.knows === "ground truth" ? "control: knows the ground truth" : "control"}</small>}
            </th>
            {found.metrics.map((one) => (
              <ScoreCell key={one.name} score={scoreOf(one, method)} best={one.best.includes(method.name)} />
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function ScoreCell({ score, best }: { score: Score | undefined; best: boolean }) {
  if (!score?.n) return <td>–</td>;
  return (
    <td class={best ? "best" : ""} title={`n = ${score.n}`}>
      <span>{`${best ? "★ " : ""}${digits(score.value)}`}</span>
      <small>{score.low === null ? "" : `${digits(score.low)} to ${digits(score.high)}`}</small>
      {score.invalid > 0 && <small>{`${score.invalid} of ${score.n} not scored`}</small>}
    </td>
  );
}
