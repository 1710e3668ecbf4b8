// The wrong predictions as a table, the most confident first, each with its maps; maps of correct and of wrong predictions.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { imageUrl } from "../../api/images";
import { counted, digits, percent } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { Waiting } from "../../shared/progress_bar";
import { useGet } from "../../shared/use_request";
import type { PartProps } from "./dataset";
import { MapPairs } from "./map_pairs";
import { useOverall } from "./overall";
import { SampleLinks } from "./samples";
import { type Overall, query, type Range, type RowPrediction, type RowPredictionList, type RunInfo, type Subset } from "./schemas";
import { selectionOfView } from "./selection";

const SIZE = 20;
const COLUMNS: readonly { sort: string; text: string; descending: boolean }[] = [
  { sort: "name", text: "image", descending: false },
  { sort: "label", text: "true", descending: false },
  { sort: "predicted", text: "predicted", descending: false },
  { sort: "confidence", text: "confidence", descending: true },
  { sort: "rank", text: "rank of the label", descending: true },
];

interface Order {
  sort: string;
  descending: boolean;
  offset: number;
}

export function Errors({ run, subset }: PartProps) {
  const [order, setOrder] = useState<Order>({ sort: "confidence", descending: true, offset: 0 });
  // A selection may consist of correct predictions: all of its images are listed.
  const all = subset !== null && selectionOfView() !== null;
  useLayoutEffect(() => setOrder((now) => ({ ...now, offset: 0 })), [subset?.id]);
  const path = query("errors", { run: run.id, ...order, n: SIZE, ...(subset && { subset: subset.id, correct: all }) });
  const request = useGet<RowPredictionList>(path);
  const overall = useOverall(run, subset);
  const top = useRef<HTMLDivElement>(null);
  const found = request.data;
  const turn = (offset: number): void => {
    setOrder({ ...order, offset: Math.max(0, offset) });
    top.current!.scrollIntoView({ block: "start" });
  };
  const direction = order.descending ? "down" : "up";
  return (
    <div
      class="errors"
      ref={top}
      data-drawn={found && request.key === path ? `${run.id} ${found.total} ${order.sort} ${direction} ${order.offset}` : undefined}
    >
      <div class="row top">
        <p class="count" aria-live="polite">
          {found && countText(found, order, all ? subset : null)}
        </p>
        <a class="download" download="predictions.csv" href={query("rows.csv", { run: run.id })}>
          All rows as CSV
        </a>
      </div>
      <ErrorMessage error={request.error} retry={request.retry} />
      {!found && !request.error && <Waiting what="Reading the predictions" />}
      {found && (
        <ErrorTable
          run={run}
          found={found}
          order={order}
          filtered={subset !== null}
          sort={(sort, descending) => setOrder({ sort, descending, offset: 0 })}
        />
      )}
      {found && found.total > SIZE && (
        <div class="row paging">
          <button disabled={found.offset === 0} onClick={() => turn(found.offset - SIZE)}>
            Previous
          </button>
          <span class="note">{`${found.offset + 1} to ${found.offset + found.items.length} of ${found.total}`}</span>
          <button disabled={found.offset + found.items.length >= found.total} onClick={() => turn(found.offset + found.items.length)}>
            Next
          </button>
        </div>
      )}
      <ErrorMessage error={overall.error} retry={overall.retry} />
      {overall.data && <Differences found={overall.data} />}
    </div>
  );
}

function countText(found: RowPredictionList, { sort, descending }: Order, selected: Subset | null): string {
  const first = found.total && sort === "confidence" && descending ? ", the most confident first" : "";
  if (selected) return `${counted(found.total, "selected image")}, of which ${selected.n_wrong} predicted wrongly${first}.`;
  return `${counted(found.total, "wrong prediction")}${first}.`;
}

interface TableProps {
  run: RunInfo;
  found: RowPredictionList;
  order: Order;
  filtered: boolean;
  sort: (by: string, descending: boolean) => void;
}

function ErrorTable({ run, found, order, filtered, sort }: TableProps) {
  if (!found.items.length)
    return <p class="note">{filtered ? "None of the selected images is predicted wrongly." : "The model makes no errors on these images."}</p>;
  return (
    <table class="rows">
      <thead>
        <tr>
          {COLUMNS.map((column) => {
            const on = column.sort === order.sort;
            return (
              <th scope="col" key={column.sort} aria-sort={on ? (order.descending ? "descending" : "ascending") : "none"}>
                <button
                  class="quiet"
                  data-sort={column.sort}
                  onClick={() => sort(column.sort, on ? !order.descending : column.descending)}
                >
                  {column.text}
                  {on && <span aria-hidden="true">{order.descending ? " ↓" : " ↑"}</span>}
                </button>
              </th>
            );
          })}
          <td />
        </tr>
      </thead>
      <tbody>
        {found.items.map((row) => (
          <ErrorRows key={row.name} run={run} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function ErrorRows({ run, row }: { run: RunInfo; row: RowPrediction }) {
  const [open, setOpen] = useState(false);
  const { image: id } = row;
  return (
    <>
      <tr>
        <th scope="row">
          <span class="thumb">
            {id && <img src={imageUrl(id, 128)} alt="" width={56} height={56} loading="lazy" />}
            <span class="name">{row.name}</span>
          </span>
        </th>
        <td data-of="true">{row.label ?? "–"}</td>
        <td data-of="predicted">{row.predicted}</td>
        <td class="number" data-of="confidence">
          {percent(row.confidence)}
        </td>
        <td class="number" data-of="rank">
          {row.rank ?? "–"}
        </td>
        <td class="do">
          {id && run.served_model && (
            <button aria-expanded={open} onClick={() => setOpen(!open)}>
              Maps
            </button>
          )}
          {id && <SampleLinks run={run} image={id} name={row.name} />}
        </td>
      </tr>
      {open && (
        <tr class="detail">
          <td colSpan={COLUMNS.length + 1}>
            <MapPairs run={run} rows={[row]} />
          </td>
        </tr>
      )}
    </>
  );
}

/** Whether the maps of correct and of wrong predictions differ. */
function Differences({ found }: { found: Overall }) {
  if (!found.differences.length) return null;
  const cell = (range: Range, n: string) => (
    <td>
      {digits(range.value)}
      <small>{range.low === null ? n : `${digits(range.low)} to ${digits(range.high)}${n && ` · ${n}`}`}</small>
    </td>
  );
  return (
    <>
      <h3>Maps of correct and of wrong predictions</h3>
      <div class="scroller card">
        <table class="contrasts">
          <caption class="note">
            {`Maps of the predicted class, by ${found.method} at ${found.layer ?? "the default layer"}; 95 % intervals, p corrected for multiple tests.`}
          </caption>
          <thead>
            <tr>
              <td />
              {["correct", "wrong", "correct minus wrong", "p"].map((text) => (
                <th scope="col" key={text}>
                  {text}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {found.differences.map((one) => (
              <tr key={one.name}>
                <th scope="row">
                  {one.name}
                  <small>{one.meaning}</small>
                </th>
                {cell(one.correct, `n = ${one.n[0]}`)}
                {cell(one.wrong, `n = ${one.n[1]}`)}
                {cell(one.difference, one.differs ? "differs" : "")}
                <td>{one.p === null ? "–" : one.p < 0.001 ? "< 0.001" : one.p.toFixed(3)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
