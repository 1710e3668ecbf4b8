// The wrong predictions as a table, the most confident first, each with its maps; maps of correct and of wrong predictions.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { imageUrl } from "../../api/images";
import { counted, digits, percent } from "../../numbers";
import { Pending } from "../../shared/pending";
import { type Column, Table } from "../../shared/table";
import { useGet } from "../../shared/use_request";
import type { PartProps } from "./dataset";
import { MapPairs, SampleLinks } from "./map_pairs";
import { useOverall } from "./confusion";
import { type Overall, query, type Range, type RowPrediction, type RowPredictionList } from "./schemas";
import { selectionOfView } from "./selection";

const SIZE = 20;
/** Those that are sorted from the highest value on. */
const DESCENDING = ["confidence", "rank"];

export function Errors({ run, subset }: PartProps) {
  const [order, setOrder] = useState({ sort: "confidence", descending: true, offset: 0 });
  const { sort, descending } = order;
  // A selection may consist of correct predictions: all of its images are listed.
  const all = subset !== null && selectionOfView() !== null;
  useLayoutEffect(() => setOrder((now) => ({ ...now, offset: 0 })), [subset?.id]);
  const path = query("errors", { run: run.id, ...order, n: SIZE, ...(subset && { subset: subset.id, correct: all }) });
  const request = useGet<RowPredictionList>(path);
  const overall = useOverall(run, subset);
  const top = useRef<HTMLDivElement>(null);
  /** The names of the rows whose maps are displayed. */
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const toggle = (name: string): void => {
    const next = new Set(opened);
    if (!next.delete(name)) next.add(name);
    setOpened(next);
  };
  const turn = (offset: number): void => {
    setOrder({ ...order, offset: Math.max(0, offset) });
    top.current!.scrollIntoView({ block: "start" });
  };
  const columns: Column<RowPrediction>[] = [
    {
      head: "image",
      sort: "name",
      cell: ({ image, name }) => (
        <span class="thumb">
          {image && <img src={imageUrl(image, 128)} alt="" width={56} height={56} loading="lazy" />}
          <span class="name">{name}</span>
        </span>
      ),
    },
    { head: "true", sort: "label", cell: (row) => row.label ?? "–", td: () => ({ "data-of": "true" }) },
    { head: "predicted", sort: "predicted", cell: (row) => row.predicted, td: () => ({ "data-of": "predicted" }) },
    { head: "confidence", sort: "confidence", cell: (row) => percent(row.confidence), td: () => ({ class: "number", "data-of": "confidence" }) },
    { head: "rank of the label", sort: "rank", cell: (row) => row.rank ?? "–", td: () => ({ class: "number", "data-of": "rank" }) },
    {
      head: "",
      td: () => ({ class: "do" }),
      cell: ({ image, name }) =>
        image && (
          <>
            {run.served_model && <button aria-expanded={opened.has(name)} onClick={() => toggle(name)}>Maps</button>}
            <SampleLinks run={run} image={image} name={name} />
          </>
        ),
    },
  ];
  const found = request.data;
  const first = found?.total && sort === "confidence" && descending ? ", the most confident first" : "";
  const end = found ? found.offset + found.items.length : 0;
  const drawn = found && request.key === path ? `${run.id} ${found.total} ${sort} ${descending ? "down" : "up"} ${order.offset}` : undefined;
  return (
    <div class="errors" ref={top} data-drawn={drawn}>
      <div class="row top">
        <p class="count" aria-live="polite">
          {found &&
            (all
              ? `${counted(found.total, "selected image")}, of which ${subset.n_wrong} predicted wrongly${first}.`
              : `${counted(found.total, "wrong prediction")}${first}.`)}
        </p>
        <a class="download" download="predictions.csv" href={query("rows.csv", { run: run.id })}>All rows as CSV</a>
      </div>
      <Pending requests={[request]} what="Reading the predictions" />
      {found?.items.length === 0 && (
        <p class="note">{subset ? "None of the selected images is predicted wrongly." : "The model makes no errors on these images."}</p>
      )}
      {found && found.items.length > 0 && (
        <Table
          class="rows"
          columns={columns}
          rows={found.items}
          keyOf={(row) => row.name}
          sorted={{
            by: sort,
            descending,
            change: (by) => setOrder({ sort: by, descending: by === sort ? !descending : DESCENDING.includes(by), offset: 0 }),
          }}
          detail={(row) => opened.has(row.name) && <MapPairs run={run} rows={[row]} />}
        />
      )}
      {found && found.total > SIZE && (
        <div class="row paging">
          <button disabled={found.offset === 0} onClick={() => turn(found.offset - SIZE)}>Previous</button>
          <span class="note">{`${found.offset + 1} to ${end} of ${found.total}`}</span>
          <button disabled={end >= found.total} onClick={() => turn(end)}>Next</button>
        </div>
      )}
      <Pending requests={[overall]} />
      {overall.data && overall.data.differences.length > 0 && <Differences found={overall.data} />}
    </div>
  );
}

/** Whether the maps of correct and of wrong predictions differ. */
function Differences({ found }: { found: Overall }) {
  const layer = found.layer ?? "the default layer";
  const cell = ({ value, low, high }: Range, n: string) => (
    <>
      {digits(value)}
      <small>{low === null ? n : `${digits(low)} to ${digits(high)}${n && ` · ${n}`}`}</small>
    </>
  );
  return (
    <>
      <h3>Maps of correct and of wrong predictions</h3>
      <div class="scroller card">
        <Table
          class="contrasts"
          caption={`Maps of the predicted class, by ${found.method} at ${layer}; 95 % intervals, p corrected for multiple tests.`}
          rows={found.differences}
          keyOf={(one) => one.name}
          columns={[
            { head: "", cell: (one) => [one.name, <small>{one.meaning}</small>] },
            { head: "correct", cell: (one) => cell(one.correct, `n = ${one.n[0]}`) },
            { head: "wrong", cell: (one) => cell(one.wrong, `n = ${one.n[1]}`) },
            { head: "correct minus wrong", cell: (one) => cell(one.difference, one.differs ? "differs" : "") },
            { head: "p", cell: ({ p }) => (p === null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3)) },
          ]}
        />
      </div>
    </>
  );
}
