// Images of a run with the map of the predicted and of the true class, and links to the other tabs.

import { useEffect, useState } from "preact/hooks";
import { explain } from "../../api/explain";
import { loadImage } from "../../api/images";
import type { ExplainResponse } from "../../api/types";
import { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { MapView } from "../../shared/map_view";
import { Pending } from "../../shared/pending";
import { useRequest } from "../../shared/use_request";
import { app, methodOfView } from "../../state/app";
import { setView, view } from "../../state/view";
import type { RowPrediction, RunInfo } from "./schemas";

/**
 * The maps of an image for some classes; for the predicted one if none is given. The method is that of the view if it is
 * quick and depends on the class, else Grad-CAM.
 */
export function mapsOf(run: RunInfo, id: string, targets: number[], signal: AbortSignal): Promise<ExplainResponse> {
  const chosen = app.start.methods.find((one) => one.name === methodOfView());
  const methods = [chosen?.quick && !chosen.class_free ? chosen.name : "grad_cam"];
  return explain({ image: id, model: run.served_model!, methods, layers: [], targets, score: "logit" }, undefined, signal);
}

/** Open an image in another tab, with the model of the run. */
export function openSample(run: RunInfo, image: string, tab: "explain" | "trust" = "explain"): void {
  const model = run.served_model ?? view.model.peek();
  const same = model === view.model.peek();
  setView({ tab, image, model, target: "", layer: same ? view.layer.peek() : "" }, true);
}

export function SampleLinks({ run, image, name }: { run: RunInfo; image: string; name: string }) {
  return (
    <>
      <button aria-label={`Explain ${name}`} onClick={() => openSample(run, image)}>Explain</button>
      <button aria-label={`Test the map of ${name}`} onClick={() => openSample(run, image, "trust")}>Trust</button>
    </>
  );
}

const SIDE_PX = 256;
/** Images whose maps are requested at the same time. */
const AT_ONCE = 2;

export function MapPairs({ run, rows }: { run: RunInfo; rows: readonly RowPrediction[] }) {
  const withImage = rows.filter((row) => row.image);
  const [done, setDone] = useState<ReadonlySet<string>>(new Set());
  const finished = withImage.filter((row) => done.has(row.name)).length;
  return (
    <div class="pairs" data-drawn={finished === withImage.length ? String(rows.length) : undefined}>
      {rows.map((row) => (
        <MapPair
          key={row.name}
          run={run}
          row={row}
          starts={withImage.indexOf(row) < finished + AT_ONCE}
          finish={() => setDone((now) => new Set([...now, row.name]))}
        />
      ))}
    </div>
  );
}

/** `starts`: its maps may be requested. */
function MapPair({ run, row, starts, finish }: { run: RunInfo; row: RowPrediction; starts: boolean; finish: () => void }) {
  const { image: id, predicted } = row;
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
  const common = { side: SIDE_PX, image: data?.image ?? null };
  return (
    <article class="pair card">
      <p class="row">
        <b>{row.label ?? predicted}</b>
        <span>{`${same ? "predicted with" : `predicted as ${predicted},`} ${percent(row.confidence)}`}</span>
      </p>
      {id && (
        <div class="shots">
          <MapView kind="photo" {...common} field={null} label="image" caption="image" />
          {kinds.map((kind, i) => {
            const map = data?.maps[i];
            const empty = map && !map.field.map.values.some((value) => value > 0) ? ". Empty: no positive evidence" : "";
            const caption = map ? `${kind}: ${map.target}${empty}` : "…";
            return <MapView key={kind} kind="overlay" {...common} field={map?.field ?? null} label={caption} caption={caption} />;
          })}
        </div>
      )}
      <Pending requests={[request]} />
      <p class="row">
        <span class="note name">{row.name}</span>
        {id && <SampleLinks run={run} image={id} name={row.name} />}
      </p>
    </article>
  );
}
