// The confusion matrix, the accuracy and the calibration in numbers, and the images behind each number.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { get } from "../../api/http";
import { counted, digits, tenths } from "../../numbers";
import { Pending } from "../../shared/pending";
import { Plot } from "../../shared/plot";
import { useRovingFocus } from "../../shared/roving_focus";
import { TextList } from "../../shared/table";
import { type RequestState, useGet, useRequest } from "../../shared/use_request";
import type { PartProps } from "./dataset";
import { MapPairs } from "./map_pairs";
import type { Matrix, Overall, Range, RowPrediction, RowPredictionList, RunInfo, Subset } from "./schemas";
import { failureTexts, query } from "./schemas";
import { searchOfView, select, selectionOfView, useSubset } from "./selection";

const SIZE = 20;

export function Confusion({ run, subset }: PartProps) {
  /** `most`: the most confused classes; otherwise all, from `offset` on. */
  const [paging, setPaging] = useState({ most: true, offset: 0 });
  const selection = selectionOfView();
  const cell = selection?.kind === "cell" ? selection.key : "";
  // A selected cell is marked in the matrix; the other selections, and the search, restrict it.
  const found = useSubset(cell ? run : null, searchOfView(), null);
  const within = cell ? found.data : subset;
  const overall = useOverall(run, subset);
  const path = found.active && !found.current ? null : query("confusion", { run: run.id, ...paging, subset: within?.id ?? null });
  const request = useGet<Matrix>(path);
  const matrix = request.data;
  const nameOf = (output: number): string =>
    [...(matrix?.rows ?? []), ...(matrix?.columns ?? [])].find((one) => one.output === output)?.name ?? "";
  const most = matrix?.matching === 0;
  const next = most ? 0 : (matrix?.offset ?? 0) + SIZE;
  const turn = (offset: number): void => setPaging({ most: false, offset: Math.max(0, offset) });
  const selectCell = (key: string): void => {
    const [label, predicted] = key.split("-").map((part) => nameOf(Number(part)));
    select(key === cell ? null : { kind: "cell", key, label: label!, predicted: predicted! });
  };
  return (
    <div class="confusion" data-drawn={matrix ? run.id : undefined} data-told={overall.data ? overall.data.run : undefined}>
      <div class="numbers">{overall.data && <OverallNumbers found={overall.data} selected={overall.selected} />}</div>
      <Pending requests={[request, overall]} what="Counting the confusions" />
      {matrix && (
        <>
          <div class="row paging">
            <h3>{titleOf(matrix)}</h3>
            {matrix.classes > SIZE && (
              <>
                <button aria-pressed={most} onClick={() => setPaging({ most: true, offset: 0 })}>Most confused</button>
                <button disabled={most || matrix.offset === 0} onClick={() => turn(matrix.offset - SIZE)}>Previous</button>
                <button disabled={next >= matrix.matching && !most} onClick={() => turn(next)}>{most ? "All classes" : "Next"}</button>
              </>
            )}
          </div>
          <div class="sides">
            <div class="matrix">
              {matrix.rows.length > 0 && <ConfusionMatrix matrix={matrix} selected={cell} select={selectCell} />}
              {!matrix.rows.length && (
                <p class="note">
                  {within
                    ? "No selected image has a label among the classes of the model."
                    : "No image of this run has a label among the classes of the model, so there is no confusion matrix."}
                </p>
              )}
            </div>
            <div class="confused">
              {matrix.pairs.length > 0 && <h3>Most frequent confusions</h3>}
              <ol>
                {matrix.pairs.map(({ label, predicted, count, total }) => {
                  const key = `${label.output}-${predicted.output}`;
                  const choose = (): void => select({ kind: "cell", key, label: label.name, predicted: predicted.name });
                  return (
                    <li key={key}>
                      <button class="quiet" onClick={choose}>{`${label.name} → ${predicted.name}`}</button>
                      <span class="note">{` ${count} of ${total}`}</span>
                    </li>
                  );
                })}
              </ol>
            </div>
          </div>
          {cell && <CellImages key={cell} run={run} cell={cell} nameOf={nameOf} />}
        </>
      )}
    </div>
  );
}

function titleOf({ matching, offset, rows, classes }: Matrix): string {
  if (matching) return `Classes ${offset + 1} to ${offset + rows.length} of ${matching}, lowest accuracy first`;
  return classes <= SIZE ? "Confusion matrix" : `The ${rows.length} most confused of ${classes} classes`;
}

/** Which class is predicted as which, as a table of numbers that can be selected. */
function ConfusionMatrix({ matrix, selected, select }: { matrix: Matrix; selected: string; select: (cell: string) => void }) {
  const box = useRovingFocus<HTMLDivElement>("button");
  const { columns, rows, counts } = matrix;
  const others = rows.some((row) => row.others > 0);
  const heads = [...columns.map((one) => one.name), ...(others ? ["others"] : []), "all"];
  return (
    <div class="scroller" ref={box}>
      <table>
        <caption class="note">
          Rows: true classes. The shade is the fraction of the row. Select a cell to see its images, here and in the other views; the
          arrow keys move between cells.
        </caption>
        <thead>
          <tr>
            <td class="corner">
              <span>true ↓</span>
              <span>predicted →</span>
            </td>
            {heads.map((name, j) => <th scope="col" title={columns[j]?.name} key={j}><span>{name}</span></th>)}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={row.output}>
              <th scope="row" title={row.name}>{row.name}</th>
              {columns.map((column, j) => {
                const count = counts[i]![j]!;
                const correct = row.output === column.output;
                const key = `${row.output}-${column.output}`;
                const label = `${count} of ${row.total} ${row.name}${correct ? ": correct" : `, predicted as ${column.name}`}`;
                const depth = `${Math.round(8 + 42 * Math.sqrt(count / row.total))}%`;
                return (
                  <td key={column.output} class={correct ? "right" : "wrong"} style={count ? { "--depth": depth } : {}}>
                    {count > 0 && (
                      <button data-cell={key} aria-label={label} title={label} aria-pressed={key === selected} onClick={() => select(key)}>
                        {count}
                      </button>
                    )}
                  </td>
                );
              })}
              {others && <td class="sum">{row.others || ""}</td>}
              <td class="sum">{row.total}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const STEP = 4;

/** The images of a cell, with both maps. */
function CellImages({ run, cell, nameOf }: { run: RunInfo; cell: string; nameOf: (output: number) => string }) {
  const [label, predicted] = cell.split("-").map(Number) as [number, number];
  const [offset, setOffset] = useState(0);
  const rows = useRef<RowPrediction[]>([]);
  const path = query("cell", { run: run.id, label_index: label, predicted_index: predicted, offset, n: STEP });
  const request = useRequest<RowPredictionList>(path, async (signal) => {
    const found = await get<RowPredictionList>(path, signal);
    rows.current = [...rows.current.slice(0, offset), ...found.items];
    return found;
  });
  const heading = useRef<HTMLHeadingElement>(null);
  const found = request.data;
  useLayoutEffect(() => {
    heading.current?.focus({ preventScroll: true });
    heading.current?.parentElement!.scrollIntoView({ block: "nearest" });
  }, [found === null]);
  if (!found) return <Pending requests={[request]} />;
  const first = rows.current[0];
  const of = (label === predicted ? first?.predicted : first?.label) || nameOf(label) || `class ${label}`;
  const how = label === predicted ? ", predicted correctly" : `, predicted as ${first?.predicted ?? nameOf(predicted)}`;
  return (
    <section class="cell" aria-label="Images of the cell" data-cell={cell} data-total={String(found.total)}>
      <h3 tabIndex={-1} ref={heading}>{`${counted(found.total, "image")} of ${of}${how}`}</h3>
      <MapPairs run={run} rows={rows.current} />
      <Pending requests={[request]} />
      {rows.current.length < found.total && (
        <button disabled={request.busy} onClick={() => setOffset(rows.current.length)}>Show more</button>
      )}
    </section>
  );
}

/** The numbers of a run, or of a subset of its images; `selected`: whether those that are there are of a subset. */
export function useOverall(run: RunInfo, subset: Subset | null): RequestState<Overall> & { selected: boolean } {
  const whole = query("overall", { run: run.id });
  const request = useGet<Overall>(query("overall", { run: run.id, subset: subset && subset.id }));
  return { ...request, selected: request.data !== null && request.key !== whole };
}

function OverallNumbers({ found, selected }: { found: Overall; selected: boolean }) {
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
