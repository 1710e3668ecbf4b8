// Images with the map of the predicted and of the true class.

import { useEffect, useRef, useState } from "preact/hooks";
import { loadImage } from "../../api/images";
import { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { MapView } from "../../shared/map_view";
import { useRequest } from "../../shared/use_request";
import { mapsOf, SampleLinks } from "./samples";
import type { RowPrediction, RunInfo } from "./schemas";

const SIDE_PX = 256;
/** Images whose maps are requested at the same time. */
const AT_ONCE = 2;

export function MapPairs({ run, rows }: { run: RunInfo; rows: readonly RowPrediction[] }) {
  const withImage = rows.filter((row) => row.image);
  const [finished, setFinished] = useState(0);
  const done = useRef(new Set<string>());
  const finish = (id: string): void => {
    done.current.add(id);
    setFinished(withImage.filter((row) => done.current.has(row.image!)).length);
  };
  useEffect(() => setFinished(withImage.filter((row) => done.current.has(row.image!)).length), [rows]);
  return (
    <div class="pairs" data-drawn={finished === withImage.length ? String(rows.length) : undefined}>
      {rows.map((row) => (
        <MapPair
          key={row.name}
          run={run}
          row={row}
          starts={withImage.indexOf(row) < finished + AT_ONCE}
          finish={() => row.image && finish(row.image)}
        />
      ))}
    </div>
  );
}

interface PairProps {
  run: RunInfo;
  row: RowPrediction;
  /** Whether its maps may be requested. */
  starts: boolean;
  finish: () => void;
}

function MapPair({ run, row, starts, finish }: PairProps) {
  const { image: id } = row;
  const same = row.correct === true || row.label_index === null;
  const request = useRequest(id && starts ? id : null, async (signal) => {
    const image = await loadImage(id!, SIDE_PX);
    if (!run.served_model) return { image, maps: [] };
    const targets = same ? [row.predicted_index] : [row.predicted_index, row.label_index!];
    const answer = await mapsOf(run, id!, targets, signal);
    return { image, maps: answer.maps.map((map) => ({ target: map.target, field: Field.of(map, answer.geometry) })) };
  });
  const { data, error } = request;
  useEffect(() => {
    if (data || error) finish();
  }, [data, error]);
  const kinds = run.served_model ? (same ? ["predicted"] : ["predicted", "true class"]) : [];
  return (
    <article class="pair card">
      <p class="row">
        <b>{row.label ?? row.predicted}</b>
        <span>{same ? `predicted with ${percent(row.confidence)}` : `predicted as ${row.predicted}, ${percent(row.confidence)}`}</span>
      </p>
      {id && (
        <div class="shots">
          <MapView kind="photo" side={SIDE_PX} image={data?.image ?? null} field={null} label="image" caption="image" />
          {kinds.map((kind, i) => {
            const map = data?.maps[i];
            const empty = map && !map.field.map.values.some((value) => value > 0) ? ". Empty: no positive evidence" : "";
            const caption = map ? `${kind}: ${map.target}${empty}` : "…";
            return <MapView key={kind} kind="overlay" side={SIDE_PX} image={data?.image ?? null} field={map?.field ?? null} label={caption} caption={caption} />;
          })}
        </div>
      )}
      <ErrorMessage error={error} retry={request.retry} />
      <p class="row">
        <span class="note name">{row.name}</span>
        {id && <SampleLinks run={run} image={id} name={row.name} />}
      </p>
    </article>
  );
}
