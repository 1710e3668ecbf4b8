// A run, or what is selected of it, in numbers: its accuracy, and how far its confidence can be trusted.

import { counted, digits, tenths } from "../../numbers";
import { LinePlot } from "../../shared/line_plot";
import { type RequestState, useGet } from "../../shared/use_request";
import { type Overall, query, type Range, type RunInfo, type Subset } from "./schemas";

/** The numbers of a run, or of a subset of its images; `selected`: whether those that are there are of a subset. */
export function useOverall(run: RunInfo, subset: Subset | null): RequestState<Overall> & { selected: boolean } {
  const whole = query("overall", { run: run.id });
  const path = subset ? query("overall", { run: run.id, subset: subset.id }) : whole;
  const request = useGet<Overall>(path);
  return { ...request, selected: request.data !== null && request.key !== whole };
}

export function OverallNumbers({ found, selected }: { found: Overall; selected: boolean }) {
  const { calibration, judged, rows } = found;
  const labelled = judged < rows ? `${judged.toLocaleString("en")} labelled of the ` : "";
  const among = selected ? `of ${labelled || "the "}${rows.toLocaleString("en")} selected` : `of ${counted(judged, "image")}`;
  return (
    <>
      <div class="figures">
        <RangeFigure name="correct" range={found.accuracy} />
        {found.top5 && <RangeFigure name="in the top 5" range={found.top5} />}
        {calibration && (
          <Figure value={tenths(calibration.ece)} name="calibration error" below={`up to ${tenths(calibration.chance[1])} by chance`} />
        )}
        <Figure value={found.wrong.toLocaleString("en")} name="wrong" below={among} />
      </div>
      <details class="card">
        <summary>Summary</summary>
        <div class="saying">
          <ul>
            {found.sentences.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
          {calibration && <Reliability calibration={calibration} />}
        </div>
        {found.failed > 0 && (
          <ul class="note">
            {found.failures.map((one) => (
              <li key={one.name}>{`${one.name}: ${one.reason}`}</li>
            ))}
          </ul>
        )}
      </details>
    </>
  );
}

function Figure({ value, name, below }: { value: string; name: string; below: string }) {
  return (
    <div class="figure">
      <b>{value}</b>
      <span>{name}</span>
      <small>{below}</small>
    </div>
  );
}

function RangeFigure({ name, range }: { name: string; range: Range }) {
  const below = range.low === null ? "" : `${tenths(range.low)} to ${tenths(range.high)}`;
  return <Figure value={tenths(range.value)} name={name} below={below} />;
}

function Reliability({ calibration }: { calibration: NonNullable<Overall["calibration"]> }) {
  const known = calibration.bins.filter((bin) => bin.count > 0);
  const each = known.map(
    (bin) => `confidence ${tenths(bin.confidence)}, accuracy ${tenths(bin.accuracy)}, ${counted(bin.count, "image")}`,
  );
  const { temperature } = calibration;
  return (
    <figure>
      <LinePlot
        lines={[
          { name: "calibrated", kind: "quiet", points: [[0, 0], [1, 1]] },
          { name: "accuracy", kind: "first", points: known.map((bin) => [bin.confidence!, bin.accuracy!] as const) },
        ]}
        x={{ label: "confidence", range: [0, 1] }}
        y={{ label: "accuracy", range: [0, 1] }}
        label={`Accuracy by confidence: ${each.join("; ")}`}
      />
      <figcaption class="note">
        Dashed: accuracy equal to confidence.
        {temperature !== null && ` A temperature of ${digits(temperature)} would help; it is not applied.`}
      </figcaption>
    </figure>
  );
}
