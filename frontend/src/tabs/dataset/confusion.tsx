// The confusion matrix, what follows from it in numbers, and the images behind each number.

import { useState } from "preact/hooks";
import { ErrorMessage } from "../../shared/error_message";
import { useGet } from "../../shared/use_request";
import { Waiting } from "../../shared/progress_bar";
import { CellImages } from "./cell_images";
import { ConfusionMatrix } from "./confusion_matrix";
import { OverallNumbers, useOverall } from "./overall";
import type { PartProps } from "./dataset";
import { type Matrix, query } from "./schemas";
import { searchOfView, select, selectionOfView, useSubset } from "./selection";

const SIZE = 20;

interface Paging {
  /** The most confused classes; otherwise all, from `offset` on. */
  most: boolean;
  offset: number;
}

export function Confusion({ run, subset }: PartProps) {
  const [paging, setPaging] = useState<Paging>({ most: true, offset: 0 });
  const selection = selectionOfView();
  const cell = selection?.kind === "cell" ? selection : null;
  // A selected cell is marked in the matrix; the other selections, and the search, restrict it.
  const found = useSubset(cell ? run : null, searchOfView(), null);
  const counted = cell ? found.data : subset;
  const overall = useOverall(run, subset);
  const path = found.active && !found.current ? null : query("confusion", { run: run.id, ...paging, subset: counted?.id ?? null });
  const request = useGet<Matrix>(path);
  const matrix = request.data;
  const nameOf = (output: number): string =>
    [...(matrix?.rows ?? []), ...(matrix?.columns ?? [])].find((one) => one.output === output)?.name ?? "";
  const selectCell = (key: string): void => {
    const [label, predicted] = key.split("-").map((part) => nameOf(Number(part)));
    select(key === cell?.key ? null : { kind: "cell", key, label: label!, predicted: predicted! });
  };
  return (
    <div class="confusion" data-drawn={matrix ? run.id : undefined} data-told={overall.data ? overall.data.run : undefined}>
      <div class="numbers">{overall.data && <OverallNumbers found={overall.data} selected={overall.selected} />}</div>
      <ErrorMessage error={request.error ?? overall.error} retry={request.error ? request.retry : overall.retry} />
      {!matrix && !request.error && <Waiting what="Counting the confusions" />}
      {matrix && (
        <>
          <div class="row paging">
            <h3>{titleOf(matrix)}</h3>
            {matrix.classes > SIZE && <PagingControls matrix={matrix} change={setPaging} />}
          </div>
          <div class="sides">
            <div class="matrix">
              {matrix.rows.length ? (
                <ConfusionMatrix matrix={matrix} selected={cell?.key ?? ""} select={selectCell} />
              ) : (
                <p class="note">
                  {counted
                    ? "No selected image has a label among the classes of the model."
                    : "No image of this run has a label among the classes of the model, so there is no confusion matrix."}
                </p>
              )}
            </div>
            <div class="confused">
              {matrix.rows.length > 0 && <FrequentConfusions matrix={matrix} />}
            </div>
          </div>
          {cell && <CellImages key={cell.key} run={run} cell={cell.key} nameOf={nameOf} />}
        </>
      )}
    </div>
  );
}

function titleOf(matrix: Matrix): string {
  const { matching, offset, rows, classes } = matrix;
  if (matching) return `Classes ${offset + 1} to ${offset + rows.length} of ${matching}, lowest accuracy first`;
  return classes <= SIZE ? "Confusion matrix" : `The ${rows.length} most confused of ${classes} classes`;
}

function PagingControls({ matrix, change }: { matrix: Matrix; change: (to: Paging) => void }) {
  const whole = matrix.matching === 0;
  const next = matrix.offset + SIZE;
  const turn = (offset: number): void => change({ most: false, offset: Math.max(0, offset) });
  return (
    <>
      <button aria-pressed={whole} onClick={() => change({ most: true, offset: 0 })}>
        Most confused
      </button>
      <button disabled={whole || matrix.offset === 0} onClick={() => turn(matrix.offset - SIZE)}>
        Previous
      </button>
      <button disabled={!whole && next >= matrix.matching} onClick={() => turn(whole ? 0 : next)}>
        {whole ? "All classes" : "Next"}
      </button>
    </>
  );
}

function FrequentConfusions({ matrix }: { matrix: Matrix }) {
  if (!matrix.pairs.length) return null;
  return (
    <>
      <h3>Most frequent confusions</h3>
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
    </>
  );
}
