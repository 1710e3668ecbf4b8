// The images of a cell of the confusion matrix, with both maps.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { get } from "../../api/http";
import { counted } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { useRequest } from "../../shared/use_request";
import { MapPairs } from "./map_pairs";
import { query, type RowPrediction, type RowPredictionList, type RunInfo } from "./schemas";

const STEP = 4;

export function CellImages({ run, cell, nameOf }: { run: RunInfo; cell: string; nameOf: (output: number) => string }) {
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
  const there = found !== null;
  useLayoutEffect(() => {
    if (!there) return;
    heading.current!.focus({ preventScroll: true });
    heading.current!.parentElement!.scrollIntoView({ block: "nearest" });
  }, [there]);
  if (!found) return <ErrorMessage error={request.error} retry={request.retry} />;
  const first = rows.current[0];
  const of = (label === predicted ? first?.predicted : first?.label) || nameOf(label) || `class ${label}`;
  const how = label === predicted ? ", predicted correctly" : `, predicted as ${first?.predicted ?? nameOf(predicted)}`;
  return (
    <section class="cell" aria-label="Images of the cell" data-cell={cell} data-total={String(found.total)}>
      <h3 tabIndex={-1} ref={heading}>{`${counted(found.total, "image")} of ${of}${how}`}</h3>
      <MapPairs run={run} rows={rows.current} />
      <ErrorMessage error={request.error} retry={request.retry} />
      {rows.current.length < found.total && (
        <button disabled={request.busy} onClick={() => setOffset(rows.current.length)}>
          Show more
        </button>
      )}
    </section>
  );
}
