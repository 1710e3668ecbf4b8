// Evaluations: methods by metrics with their intervals. The selected metric sorts the table and is plotted.

import type { Schemas } from "../../api/types";
import { digits } from "../../numbers";
import { IntervalPlot } from "../../shared/interval_plot";
import { Plot } from "../../shared/plot";
import { Pending } from "../../shared/pending";
import { type Column, Table, TextList } from "../../shared/table";
import { useGet } from "../../shared/use_request";
import { setTabValues, tabValue } from "../../state/view";
import { failureTexts, query, type RunInfo } from "./schemas";

type Evaluation = Schemas["EvaluationOut"];
type Metric = Evaluation["metrics"][number];
type Method = Evaluation["methods"][number];
type ScoreOf = (metric: Metric, method: Method) => Evaluation["scores"][number] | undefined;

const DIRECTIONS = { high: "↑ higher is better", low: "↓ lower is better", neither: "describes" };
const HELP =
  "Select a metric to sort by it and to plot it; select it again to reverse the order. ★ better than all others by the paired " +
  "tests; italics: controls.";

export function Evaluations({ run }: { run: RunInfo }) {
  const request = useGet<Evaluation>(query("evaluation", { run: run.id }));
  const found = request.data;
  const metrics = found?.metrics ?? [];
  const metric =
    metrics.find((one) => one.name === tabValue("dataset.metric")) ?? metrics.find((one) => one.better !== "neither") ?? metrics[0];
  const curvesPath = metric?.curves ? query("curves", { run: run.id, metric: metric.name }) : null;
  const curves = useGet<Schemas["Curves"]>(curvesPath);
  const drawnCurves = curvesPath !== null && curves.key === curvesPath ? curves.data : null;
  const scores = new Map(found?.scores.map((one) => [`${one.metric} ${one.method}`, one]));
  const scoreOf: ScoreOf = (of, method) => scores.get(`${of.name} ${method.name}`);
  const reversed = tabValue("dataset.up") === "1";
  const methods = found && metric ? sortMethods(found.methods, metric, scoreOf, reversed) : [];
  const sortBy = (name: string): void =>
    setTabValues({ "dataset.metric": name, "dataset.up": name === metric?.name && !reversed ? "1" : null }, true);
  return (
    <div class="evaluation" aria-busy={request.busy || undefined} data-drawn={found && metric ? `${found.run} ${metric.name}` : undefined}>
      <ul class="said">
        {request.busy && <li class="note">Computing intervals and tests …</li>}
        {found?.sentences.map((text) => <li key={text}>{text}</li>)}
      </ul>
      <Pending requests={[request, curves]} />
      {found && !metric && <p class="note">This run contains no scores.</p>}
      {found && metric && (
        <>
          <div class="scroller card">
            <Table
              caption={`${found.n_images} images, maps of ${found.explained}; 95 % intervals. ${HELP}`}
              columns={columnsOf(metrics, scoreOf)}
              rows={methods}
              keyOf={(method) => method.name}
              rowClass={(method) => (method.control ? "control" : "")}
              sorted={{ by: metric.name, descending: (metric.better === "low") === reversed, change: sortBy, pressable: true }}
            />
          </div>
          <div class="drawing">
            <div class="card">
              <IntervalPlot
                label={metric.name}
                rows={methods.map((method) => ({ ...NO_SCORE, ...scoreOf(metric, method), name: method.name, control: method.control }))}
                text={digits}
              >
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
              <TextList texts={failureTexts(found.failures)} />
            </details>
          )}
        </>
      )}
    </div>
  );
}

const NO_SCORE = { value: null, low: null, high: null };

/** The best first, methods without a score last. */
function sortMethods(methods: readonly Method[], metric: Metric, scoreOf: ScoreOf, reversed: boolean): Method[] {
  const sign = (metric.better === "low" ? 1 : -1) * (reversed ? -1 : 1);
  return [...methods].sort((one, other) => {
    const [a, b] = [scoreOf(metric, one)?.value ?? null, scoreOf(metric, other)?.value ?? null];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return sign * (a - b);
  });
}

/** The names of the methods, then a column per metric. */
function columnsOf(metrics: readonly Metric[], scoreOf: ScoreOf): Column<Method>[] {
  const isBest = (of: Metric, method: Method): boolean => Boolean(scoreOf(of, method)?.n) && of.best.includes(method.name);
  const scoreCell = (of: Metric, method: Method) => {
    const score = scoreOf(of, method);
    if (!score?.n) return "–";
    return (
      <>
        <span>{`${isBest(of, method) ? "★ " : ""}${digits(score.value)}`}</span>
        <small>{score.low === null ? "" : `${digits(score.low)} to ${digits(score.high)}`}</small>
        {score.invalid > 0 && <small>{`${score.invalid} of ${score.n} not scored`}</small>}
      </>
    );
  };
  const nameCell = ({ name, control, knows }: Method) => [
    name,
    control && <small>{knows === "ground truth" ? "control: knows the ground truth" : "control"}</small>,
  ];
  const columns = metrics.map((of) => ({
    head: of.name,
    sort: of.name,
    note: of.distrust ? `${DIRECTIONS[of.better]}; not trusted here` : DIRECTIONS[of.better],
    cell: (method: Method) => scoreCell(of, method),
    td: (method: Method) => {
      const n = scoreOf(of, method)?.n;
      return { class: isBest(of, method) ? "best" : "", title: n ? `n = ${n}` : undefined };
    },
  }));
  return [{ head: "method", cell: nameCell }, ...columns];
}

/** Distinguished by colour and by dashes. */
const COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933"];
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "5 2", "1 2", "12 4", "4 4 1 4"];

/** The mean curves of a metric, such as deletion: one line per method. */
function MeanCurves({ found: { metric, lines, x_label, y_label } }: { found: Schemas["Curves"] }) {
  const last = Math.max(1, (lines[0]?.mean.length ?? 1) - 1);
  const drawn = lines.map(({ method, mean }, i) => ({
    name: method,
    kind: "first" as const,
    points: mean.map((value, step) => [step / last, value] as const),
    stroke: { stroke: COLOURS[i % COLOURS.length]!, strokeDasharray: DASHES[i % DASHES.length]! },
  }));
  const values = lines.flatMap((line) => line.mean);
  const [low, top] = [Math.min(0, ...values), Math.max(...values)];
  const each = lines.map(({ method, mean }) => `${method} from ${digits(mean[0])} to ${digits(mean.at(-1))}`);
  return (
    <figure class="card curves">
      <h3>
        {metric}
        <span class="note"> mean curves</span>
      </h3>
      <p class="note">{`Vertical axis: ${y_label}.`}</p>
      <Plot
        lines={drawn}
        x={{ label: x_label, range: [0, 1] }}
        y={{ label: "", range: [low, top <= 1 && low >= 0 ? 1 : top] }}
        label={`${y_label} by ${x_label}: ${each.join("; ")}`}
      />
      <figcaption class="legend">
        {drawn.map((line) => (
          <span class="row" key={line.name}>
            <svg viewBox="0 0 30 10" width={30} height={10} aria-hidden="true">
              <line x1={0} x2={30} y1={5} y2={5} stroke-width={2.5} style={line.stroke} />
            </svg>
            {line.name}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
