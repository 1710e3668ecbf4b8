// One point: the image with its map, its class and prediction, its neighbours.

import { useEffect, useState } from "preact/hooks";
import { imageUrl, loadImage } from "../../api/images";
import type { Schemas } from "../../api/types";
import { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { MapView } from "../../shared/map_view";
import { methodName } from "../../shared/method_names";
import { Pending } from "../../shared/pending";
import { useGet, useRequest } from "../../shared/use_request";
import { mapsOf, SampleLinks } from "./map_pairs";
import { type Points, query, type RunInfo } from "./schemas";

/** Milliseconds without a movement after which the image is requested. */
const QUIET_MS = 110;
const N_NEIGHBOURS = 6;
const SIDE_PX = 320;

/** The neighbours of a point, once nothing moves; `key` is that of the point then, and null until then. */
export function useNeighbours(run: RunInfo, point: number | null) {
  const [settled, setSettled] = useState<number | null>(null);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(point), QUIET_MS);
    return () => clearTimeout(timer);
  }, [point]);
  const key = settled !== null && settled === point ? `${run.id} ${settled}` : null;
  const path = key && query("neighbours", { run: run.id, point: settled, n: N_NEIGHBOURS });
  const request = useGet<Schemas["Neighbours"]>(path);
  const known = path !== null && request.key === path;
  return { request, key, known, nearest: known ? request.data!.nearest : [] };
}

interface Props {
  run: RunInfo;
  points: Points;
  point: number | null;
  neighbours: ReturnType<typeof useNeighbours>;
  /** A neighbour was selected. */
  select: (point: number) => void;
}

export function PointCard({ run, points, point, neighbours: { request, key, known, nearest }, select }: Props) {
  const id = point === null ? "" : `s${points.indices[point]!}`;
  const map = useRequest(key && run.has_images ? key : null, async (signal) => {
    const image = await loadImage(id, SIDE_PX);
    const answer = run.served_model ? await mapsOf(run, id, [], signal) : null;
    const made = answer?.maps[0];
    return { image, field: made ? Field.of(made, answer!.geometry) : null, map: made ?? null };
  });
  if (point === null)
    return (
      <aside class="card point">
        <p class="note">Select a point, with the pointer or the arrow keys, to see its image.</p>
      </aside>
    );
  const shown = map.key === key ? map.data : null;
  const complete = known && (!run.has_images || map.key === key);
  const label = points.classes[points.label_index[point]!];
  const predicted = points.classes[points.predicted_index[point]!]!;
  const confidence = percent(points.confidence[point]!);
  const correct = points.correct[point]!;
  const name = points.names[point]!;
  const caption = shown?.map ? `${shown.map.target}: ${methodName(shown.map.method)} at ${shown.map.layer}` : "the image";
  return (
    <aside class="card point" aria-busy={(run.has_images && !complete && !map.error) || undefined} data-point={complete ? String(point) : undefined}>
      {run.has_images && (
        <MapView kind="overlay" side={SIDE_PX} image={map.data?.image ?? null} field={map.data?.field ?? null} label={caption} caption={caption} />
      )}
      <Pending requests={[map, request]} />
      <div class="words" aria-live="polite">
        <h3>
          {label ?? predicted}
          {correct !== -1 && <span class={`verdict ${correct ? "right" : "wrong"}`}>{correct ? "✓ correct" : "✕ wrong"}</span>}
        </h3>
        <p>{`Predicted as ${predicted}, ${confidence}${label === undefined ? "; no label" : ""}.`}</p>
        <p class="note name">{name}</p>
      </div>
      {run.has_images && <div class="row"><SampleLinks run={run} image={id} name={name} /></div>}
      {nearest.length > 0 && (
        <div class="near">
          <h3>Nearest neighbours by features</h3>
          <div class="strip">
            {nearest.map(({ point: other, cosine }) => {
              const text = points.classes[points.label_index[other]!] ?? points.classes[points.predicted_index[other]!]!;
              const differs = points.label_index[other] !== points.label_index[point];
              return (
                <button
                  key={other}
                  class={`tile ${differs ? "unlike" : ""}`}
                  title={`${points.names[other]}: ${text}, cosine ${cosine.toFixed(3)}${differs ? ", another class" : ""}`}
                  onClick={() => select(other)}
                >
                  {!run.has_images && <span class="broken">·</span>}
                  {run.has_images && <img src={imageUrl(`s${points.indices[other]!}`, 128)} alt="" loading="lazy" />}
                  <span>{`${cosine.toFixed(2)} ${text}`}</span>
                </button>
              );
            })}
          </div>
        </div>
      )}
    </aside>
  );
}
