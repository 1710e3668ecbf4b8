// A run, or what is selected of it, in numbers: its accuracy, and how far its confidence can be trusted.

import { counted, digits, tenths } from "../../numbers";
import { Plot } from "../../shared/plot";
import { TextList } from "../../shared/table";
import { type RequestState, useGet } from "../../shared/use_request";
import { failureTexts, type Overall, query, type Range, type RunInfo, type Subset } from "./schemas";

/** The numbers of a run, or of a subset of its images; `selected`: whether those that are there are of a subset. */
export function useOverall(run: RunInfo, subset: Subset | null): RequestState<Overall> & { selected: boolean } {
  const whole = query("overall", { run: run.id });
  const request = useGet<Overall>(query("overall", { run: run.id, subset: subset && subset.id }));
  return { ...request, selected: request.data !== null && request.key !== whole };
}

export function OverallNumbers({ found, selected }: { found: Overall; selected: boolean }) {
  const { calibration, judged, rows, failures } = found;
  const labelled = judged < rows ? `${judged.toLocaleString("en")} labelled of the ` : "";
  const among = selected ? `of ${labelled || "the "}${rows.toLocaleString("en")} selected` : `of ${counted(judged, "image")}`;
  const interval = ({ low, high }: Range): string => (low === null ? "" : `${tenths(low)} to ${tenths(high)}`);
  const figures = [
    { name: "correct", value: tenths(found.accuracy.value), below: interval(found.accuracy) },
    found.top5 && { name: "in the top 5", value: tenths(found.top5.value), below: interval(found.top5) },
    calibration && { name: "calibration error", value: tenths(calibration.ece), below: `up to ${tenths(calibration.chance[1])} by chance` },
    { name: "wrong", value: found.wrong.toLocaleString("en"), below: among },
  ];
  return (
    <>
      <div class="figures">
        {figures.map(
          (figure) =>
            figure && (
              <div class="figure" key={figure.name}>
                <b>{figure.value}</b>
                <span>{figure.name}</span>
                <small>{figure.below}</small>
              </div>
            ),
        )}
      </div>
      <details class="card">
        <summary>Summary</summary>
        <div class="saying">
          <TextList texts={found.sentences} />
          {calibration && <Reliability calibration={calibration} />}
        </div>
        {found.failed > 0 && <TextList class="note" texts={failureTexts(failures)} />}
      </details>
    </>
  );
}

function Reliability({ calibration: { bins, temperature } }: { calibration: NonNullable<Overall["calibration"]> }) {
  const known = bins.filter((bin) => bin.count > 0);
  const each = known.map((bin) => `confidence ${tenths(bin.confidence)}, accuracy ${tenths(bin.accuracy)}, ${counted(bin.count, "image")}`);
  return (
    <figure>
      <Plot
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
