// One point: the image with its map, its class and prediction, its neighbours.

import { useEffect, useState } from "preact/hooks";
import { imageUrl, loadImage } from "../../api/images";
import { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { MapView } from "../../shared/map_view";
import { methodName } from "../../shared/method_names";
import { useGet, useRequest } from "../../shared/use_request";
import { mapsOf, SampleLinks } from "./samples";
import { type Neighbours, type Points, query, type RunInfo } from "./schemas";

/** Milliseconds without a movement after which the image is requested. */
const QUIET_MS = 110;
const N_NEIGHBOURS = 6;
const SIDE_PX = 320;

interface Props {
  run: RunInfo;
  points: Points;
  point: number | null;
  /** A neighbour was selected. */
  select: (point: number) => void;
  /** The neighbours of the point are known. */
  found: (points: readonly number[]) => void;
}

export function PointCard({ run, points, point, select, found }: Props) {
  const [settled, setSettled] = useState<number | null>(null);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(point), QUIET_MS);
    return () => clearTimeout(timer);
  }, [point]);
  const id = settled === null ? "" : `s${points.indices[settled]!}`;
  const key = settled !== null && settled === point ? `${run.id} ${settled}` : null;
  const map = useRequest(key && run.has_images ? key : null, async (signal) => {
    const image = await loadImage(id, SIDE_PX);
    const answer = run.served_model ? await mapsOf(run, id, [], signal) : null;
    const made = answer?.maps[0];
    return { image, field: made ? Field.of(made, answer!.geometry) : null, map: made ?? null };
  });
  const path = key && query("neighbours", { run: run.id, point: settled, n: N_NEIGHBOURS });
  const neighbours = useGet<Neighbours>(path);
  const nearest = path !== null && neighbours.key === path ? neighbours.data!.nearest : [];
  useEffect(() => found(nearest.map((one) => one.point)), [neighbours.data, key]);
  if (point === null)
    return (
      <aside class="card point">
        <p class="note">Select a point, with the pointer or the arrow keys, to see its image.</p>
      </aside>
    );
  const shown = map.key === key ? map.data : null;
  const complete = key !== null && neighbours.key === path && (!run.has_images || map.key === key);
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
      <ErrorMessage error={map.error ?? neighbours.error} retry={map.error ? map.retry : neighbours.retry} />
      <div class="words" aria-live="polite">
        <h3>
          {label ?? predicted}
          {correct !== -1 && <span class={`verdict ${correct ? "right" : "wrong"}`}>{correct ? "✓ correct" : "✕ wrong"}</span>}
        </h3>
        <p>{`Predicted as ${predicted}, ${confidence}${label === undefined ? "; no label" : ""}.`}</p>
        <p class="note name">{name}</p>
      </div>
      {run.has_images && (
        <div class="row">
          <SampleLinks run={run} image={`s${points.indices[point]!}`} name={name} />
        </div>
      )}
      {nearest.length > 0 && (
        <div class="near">
          <h3>Nearest neighbours by features</h3>
          <div class="strip">
            {nearest.map((one) => (
              <NeighbourTile key={one.point} run={run} points={points} of={point} {...one} select={select} />
            ))}
          </div>
        </div>
      )}
    </aside>
  );
}

interface TileProps {
  run: RunInfo;
  points: Points;
  of: number;
  point: number;
  cosine: number;
  select: (point: number) => void;
}

function NeighbourTile({ run, points, of, point, cosine, select }: TileProps) {
  const label = points.classes[points.label_index[point]!] ?? points.classes[points.predicted_index[point]!]!;
  const differs = points.label_index[point] !== points.label_index[of];
  return (
    <button
      class={`tile ${differs ? "unlike" : ""}`}
      title={`${points.names[point]}: ${label}, cosine ${cosine.toFixed(3)}${differs ? ", another class" : ""}`}
      onClick={() => select(point)}
    >
      {run.has_images ? (
        <img src={imageUrl(`s${points.indices[point]!}`, 128)} alt="" loading="lazy" />
      ) : (
        <span class="broken">·</span>
      )}
      <span>{`${cosine.toFixed(2)} ${label}`}</span>
    </button>
  );
}
