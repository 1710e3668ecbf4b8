// The embedding: every image is a point, near the images whose features are similar; one of them with its map and neighbours.

import { useEffect, useMemo, useState } from "preact/hooks";
import { request as fetchResponse } from "../../api/http";
import { imageUrl, loadImage } from "../../api/images";
import type { Schemas } from "../../api/types";
import { Field } from "../../maps/field";
import { counted, percent, tenths } from "../../numbers";
import { CheckBox, Select } from "../../shared/controls";
import { MapView } from "../../shared/map_view";
import { methodName } from "../../shared/method_names";
import { Pending } from "../../shared/pending";
import { Table, TextList } from "../../shared/table";
import { useGet, useRequest } from "../../shared/use_request";
import { sayError } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import type { PartProps } from "./dataset";
import { mapsOf, openSample, SampleLinks } from "./map_pairs";
import { COLOUR_BY, defaultColouring, groupsOf, type PointStyle } from "./points";
import { MAX_THUMBNAILS, Scatter } from "./scatter";
import { failureTexts, type Points, query, type RunInfo } from "./schemas";
import { appliesTo, select, selectionOfView } from "./selection";

const PROJECTIONS: Record<string, string> = { tsne: "t-SNE", pca: "PCA", umap: "UMAP" };
const MAX_LISTED = 200;
const NO_POINTS = { x: [], y: [] };

export function Embedding({ run, subset, current }: PartProps) {
  const request = useGet<Points>(query("points", { run: run.id, projection: tabValue("dataset.way") || null }));
  const points = request.data;
  const by = COLOUR_BY.find((one) => one.value === tabValue("dataset.colour"))?.value ?? (points ? defaultColouring(points) : "truth");
  const groups = useMemo(() => (points ? groupsOf(points, by) : []), [points, by]);
  const [marked, setMarked] = useState<{ points: Points; point: number } | null>(null);
  const point = marked?.points === points ? marked!.point : null;
  const mark = (next: number): void => setMarked({ points: points!, point: next });
  const neighbours = useNeighbours(run, point);
  const selection = selectionOfView();
  const here = selection?.kind === "points" && appliesTo(selection, run) ? selection : null;
  const style = useMemo((): PointStyle => {
    if (!points) return { colours: [], crossed: [], muted: [] };
    const colours = points.x.map(() => "--soft");
    for (const group of groups) for (const i of group.points) colours[i] = group.colour;
    // Selected points stand out at once; the search is applied when the server has answered.
    const selected = here && new Set(here.indices);
    const matching = subset && (current || !selected) ? new Set(subset.indices) : null;
    const muted = points.indices.map((index) => selected?.has(index) === false || matching?.has(index) === false);
    return { colours, crossed: points.correct.map((one) => one === 0), muted };
  }, [points, groups, subset, here, current]);
  /** Whether the points were enlarged once: from then on the thumbnails are there. */
  const [zoomed, setZoomed] = useState(false);
  const few = points !== null && points.x.length <= MAX_THUMBNAILS;
  const showThumbnails = tabValue("dataset.thumbnails") !== "0";
  const thumbnails = useThumbnails(run, showThumbnails && points !== null && (few || zoomed));
  const selectPoints = (chosen: readonly number[], names: readonly string[] = []): void =>
    select({ kind: "points", run, indices: chosen.map((i) => points!.indices[i]!), groups: names });
  const togglePoint = (toggled: number): void => {
    const indices = new Set(here?.indices);
    const index = points!.indices[toggled]!;
    if (!indices.delete(index)) indices.add(index);
    select({ kind: "points", run, indices: [...indices], groups: [] });
  };
  const toggleGroup = (name: string): void => {
    const names = new Set(here?.groups);
    if (!names.delete(name)) names.add(name);
    const chosen = groups.filter((group) => names.has(group.name));
    selectPoints(chosen.flatMap((group) => group.points), chosen.map((group) => group.name));
  };
  return (
    <div class="scatter" aria-busy={request.busy || undefined} data-drawn={points ? `${run.id} ${points.projection} ${by}` : undefined}>
      <div class="field-row">
        <Select
          label="Projection"
          value={points?.projection ?? ""}
          options={(points?.projections ?? []).map((value) => ({ value, text: PROJECTIONS[value] ?? value }))}
          change={(way) => setTabValues({ "dataset.way": way }, true)}
        />
        <Select label="Colour" value={by} options={COLOUR_BY} change={(colour) => setTabValues({ "dataset.colour": colour }, true)} />
        {run.has_images && (
          <CheckBox
            label="Thumbnails"
            title={few ? "" : `Drawn where at most ${MAX_THUMBNAILS} points are displayed: zoom in, or select some`}
            checked={showThumbnails}
            change={(on) => setTabValues({ "dataset.thumbnails": on ? null : "0" })}
          />
        )}
      </div>
      <Pending requests={[request]} what="Computing the projection" />
      <div class="stage">
        <div class="left">
          <Scatter
            label="Images as points"
            points={points ?? NO_POINTS}
            style={style}
            thumbnails={thumbnails}
            marked={point}
            near={neighbours.nearest.map((one) => one.point)}
            onMark={mark}
            onPick={(picked, touched) => (touched || !run.has_images ? mark(picked) : openSample(run, `s${points!.indices[picked]!}`))}
            onLasso={selectPoints}
            onToggle={togglePoint}
            onZoom={() => setZoomed(true)}
          />
          <div class="legend" role="group" aria-label="Select the images of classes">
            {groups.map(({ name, colour, points: members }) => (
              <button key={name} aria-pressed={here?.groups.includes(name) ?? false} onClick={() => toggleGroup(name)}>
                <span class="swatch" style={{ background: colour.startsWith("--") ? `var(${colour})` : colour }} />
                <span class="name">{name}</span>
                <span class="count">{members.length}</span>
              </button>
            ))}
            {points?.correct.includes(0) && <span class="note key">● correct ✕ wrong</span>}
          </div>
          {points && <EmbeddingNotes points={points} />}
        </div>
        {points && <PointCard run={run} points={points} point={point} neighbours={neighbours} select={mark} />}
      </div>
    </div>
  );
}

/** The thumbnails of all points in one image, once they are wanted. */
function useThumbnails(run: RunInfo, wanted: boolean): ImageBitmap | null {
  const path = query("thumbnails", { run: run.id });
  const request = useRequest<ImageBitmap>(wanted && run.has_images ? path : null, async (signal) => {
    const response = await fetchResponse(path, { signal });
    return createImageBitmap(await response.blob());
  });
  useEffect(() => {
    if (request.error) sayError(request.error);
  }, [request.error]);
  return wanted ? request.data : null;
}

function EmbeddingNotes({ points }: { points: Points }) {
  const { agreement, class_agreement: classes, count, failed } = points;
  const shown = points.x.length;
  const alone = classes.filter((one) => one.count === 1).length;
  const texts = [
    agreement !== null &&
      `Of the labelled images, ${tenths(agreement)} have a nearest neighbour with the same label, by the cosine of the features.`,
    agreement !== null &&
      alone > 0 &&
      `${counted(alone, "image")} cannot: there is no other image of ${alone === 1 ? "its" : "their"} class.`,
    points.projection === "pca"
      ? "Distances are in the first two components only."
      : "Neighbourhoods are meaningful; distances between groups and their sizes are not.",
    count > shown &&
      `${shown.toLocaleString("en")} of ${counted(count, "image")} are displayed, selected at random; neighbours are searched among them.`,
  ];
  return (
    <>
      <div class="told">
        <p>{texts.filter(Boolean).join(" ")}</p>
        <p class="note">{`Features: ${points.feature_source}. Projection: ${points.description}.`}</p>
        {failed > 0 && (
          <details>
            <summary>{`${counted(failed, "image")} could not be read or evaluated`}</summary>
            <TextList texts={failureTexts(points.failures)} />
          </details>
        )}
      </div>
      {classes.length > 0 && (
        <details class="card classes">
          <summary>The classes as a table</summary>
          <Table
            caption="The number of images of a class with a nearest neighbour of the same class."
            rows={classes.slice(0, MAX_LISTED)}
            keyOf={(one) => one.name}
            columns={[
              { head: "class", cell: (one) => one.name },
              { head: "images", cell: (one) => one.count },
              { head: "neighbour of the same class", cell: (one) => one.agreeing },
              { head: "fraction", cell: (one) => tenths(one.agreeing / one.count) },
            ]}
          />
          {classes.length > MAX_LISTED && <p class="note">{`The largest ${MAX_LISTED} of ${classes.length} classes.`}</p>}
        </details>
      )}
    </>
  );
}

/** Milliseconds without a movement after which the image is requested. */
const QUIET_MS = 110;
const N_NEIGHBOURS = 6;
const SIDE_PX = 320;

/** The neighbours of a point, once nothing moves; `key` is that of the point then, and null until then. */
function useNeighbours(run: RunInfo, point: number | null) {
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

function PointCard({ run, points, point, neighbours: { request, key, known, nearest }, select }: Props) {
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
  const waits = run.has_images && !complete && !map.error;
  const drawn = { image: map.data?.image ?? null, field: map.data?.field ?? null };
  const caption = shown?.map ? `${shown.map.target}: ${methodName(shown.map.method)} at ${shown.map.layer}` : "the image";
  return (
    <aside class="card point" aria-busy={waits || undefined} data-point={complete ? String(point) : undefined}>
      {run.has_images && <MapView kind="overlay" side={SIDE_PX} {...drawn} label={caption} caption={caption} />}
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
