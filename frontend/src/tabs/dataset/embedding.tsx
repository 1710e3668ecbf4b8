// The embedding: every image is a point, near the images whose features are similar.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { request as fetchResponse } from "../../api/http";
import { counted, tenths } from "../../numbers";
import { CheckBox, Select, TableHead } from "../../shared/controls";
import { ErrorMessage } from "../../shared/error_message";
import { Waiting } from "../../shared/progress_bar";
import { useGet, useRequest } from "../../shared/use_request";
import { sayError } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import type { PartProps } from "./dataset";
import { PointCard } from "./point_card";
import { COLOUR_BY, type ColourBy, defaultColouring, type Group, groupsOf } from "./point_groups";
import { type PointStyle, ThumbnailSheet } from "./points";
import { openSample } from "./samples";
import { MAX_THUMBNAILS, ScatterCanvas, ScatterPlot } from "./scatter_canvas";
import { type Points, query, type RunInfo } from "./schemas";
import { appliesTo, select, selectionOfView } from "./selection";

const PROJECTIONS: Record<string, string> = { tsne: "t-SNE", pca: "PCA", umap: "UMAP" };
const MAX_LISTED = 200;

export function Embedding({ run, subset, current }: PartProps) {
  const way = tabValue("dataset.way") || null;
  const path = query("points", { run: run.id, projection: way });
  const request = useGet<Points>(path);
  const points = request.data;
  const by = COLOUR_BY.find((one) => one.value === tabValue("dataset.colour"))?.value ?? (points ? defaultColouring(points) : "truth");
  const groups = useMemo(() => (points ? groupsOf(points, by) : []), [points, by]);
  const [point, setPoint] = useState<number | null>(null);
  const [near, setNear] = useState<readonly number[]>([]);
  /** Whether the points were enlarged once: from then on the thumbnails are there. */
  const [zoomed, setZoomed] = useState(false);
  const plot = useRef<ScatterPlot | null>(null);
  const selection = selectionOfView();
  const here = selection?.kind === "points" && appliesTo(selection, run) ? selection : null;
  const showThumbnails = tabValue("dataset.thumbnails") !== "0";
  useLayoutEffect(() => {
    if (!points) return;
    plot.current!.set(points);
    setPoint(null);
  }, [points]);
  useLayoutEffect(() => {
    if (!points) return;
    // Selected points stand out at once; the search is applied when the server has answered.
    const selected = here && new Set(here.indices);
    const matching = subset && new Set(subset.indices);
    const matches = (index: number): boolean => !matching || (selected !== null && !current) || matching.has(index);
    const inside = (index: number): boolean => (selected?.has(index) ?? true) && matches(index);
    plot.current!.paint(styleOf(points, groups, inside));
  }, [points, groups, subset, here, current]);
  useLayoutEffect(() => plot.current!.mark(point, near), [point, near]);
  const few = points !== null && points.x.length <= MAX_THUMBNAILS;
  const sheet = useThumbnails(run, showThumbnails && points !== null && (few || zoomed));
  useLayoutEffect(() => plot.current!.setThumbnails(sheet), [sheet]);
  const mark = (next: number): void => {
    setNear([]);
    setPoint(next);
  };
  const selectPoints = (chosen: readonly number[], names: readonly string[] = []): void =>
    select({ kind: "points", run, indices: chosen.map((i) => points!.indices[i]!), groups: names });
  useLayoutEffect(() => {
    plot.current!.onMark = mark;
    plot.current!.onPick = (picked, touched) => {
      if (touched || !run.has_images) mark(picked);
      else openSample(run, `s${points!.indices[picked]!}`);
    };
    plot.current!.onLasso = (chosen) => selectPoints(chosen);
    plot.current!.onZoom = (on) => on && setZoomed(true);
    plot.current!.onToggle = (toggled) => {
      const index = points!.indices[toggled]!;
      const before = here?.indices ?? [];
      const indices = before.includes(index) ? before.filter((one) => one !== index) : [...before, index];
      select({ kind: "points", run, indices, groups: [] });
    };
  });
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
        <Select label="Colour" value={by} options={COLOUR_BY} change={(colour) => setTabValues({ "dataset.colour": colour as ColourBy }, true)} />
        {run.has_images && (
          <CheckBox
            label="Thumbnails"
            title={few ? "" : `Drawn where at most ${MAX_THUMBNAILS} points are displayed: zoom in, or select some`}
            checked={showThumbnails}
            change={(on) => setTabValues({ "dataset.thumbnails": on ? null : "0" })}
          />
        )}
      </div>
      <ErrorMessage error={request.error} retry={request.retry} />
      {!points && !request.error && <Waiting what="Computing the projection" />}
      <div class="stage">
        <div class="left">
          <ScatterCanvas label="Images as points" plotRef={plot} />
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
        {points && (
          <PointCard
            run={run}
            points={points}
            point={point}
            select={(next) => {
              mark(next);
              plot.current!.reveal(next);
            }}
            found={setNear}
          />
        )}
      </div>
    </div>
  );
}

/** Colours, and which points are muted: those that are not selected. */
function styleOf(points: Points, groups: readonly Group[], inside: (index: number) => boolean): PointStyle {
  const colours = new Array<string>(points.x.length).fill("--soft");
  for (const group of groups) for (const i of group.points) colours[i] = group.colour;
  return { colours, crossed: points.correct.map((one) => one === 0), muted: points.indices.map((index) => !inside(index)) };
}

/** The thumbnails of all points in one image, once they are wanted. */
function useThumbnails(run: RunInfo, wanted: boolean): ThumbnailSheet | null {
  const path = query("thumbnails", { run: run.id });
  const request = useRequest<ThumbnailSheet>(wanted && run.has_images ? path : null, async (signal) => {
    const response = await fetchResponse(path, { signal });
    return new ThumbnailSheet(await createImageBitmap(await response.blob()));
  });
  useEffect(() => {
    if (request.error) sayError(request.error);
  }, [request.error]);
  return wanted ? request.data : null;
}

function EmbeddingNotes({ points }: { points: Points }) {
  const alone = points.class_agreement.filter((one) => one.count === 1).length;
  const unpaired =
    alone > 0 ? ` ${counted(alone, "image")} cannot: there is no other image of ${alone === 1 ? "its" : "their"} class.` : "";
  const near =
    points.projection === "pca"
      ? "Distances are in the first two components only."
      : "Neighbourhoods are meaningful; distances between groups and their sizes are not.";
  const shown = points.x.length.toLocaleString("en");
  const sampled =
    points.count > points.x.length
      ? ` ${shown} of ${counted(points.count, "image")} are displayed, selected at random; neighbours are searched among them.`
      : "";
  const agreement =
    points.agreement === null
      ? ""
      : `Of the labelled images, ${tenths(points.agreement)} have a nearest neighbour with the same label, by the cosine of the features.${unpaired} `;
  const rows = points.class_agreement.slice(0, MAX_LISTED);
  return (
    <>
      <div class="told">
        <p>{agreement + near + sampled}</p>
        <p class="note">{`Features: ${points.feature_source}. Projection: ${points.description}.`}</p>
        {points.failed > 0 && (
          <details>
            <summary>{`${counted(points.failed, "image")} could not be read or evaluated`}</summary>
            <ul>
              {points.failures.map((one) => (
                <li key={one.name}>{`${one.name}: ${one.reason}`}</li>
              ))}
            </ul>
          </details>
        )}
      </div>
      {rows.length > 0 && (
        <details class="card classes">
          <summary>The classes as a table</summary>
          <table>
            <caption class="note">The number of images of a class with a nearest neighbour of the same class.</caption>
            <TableHead columns={["class", "images", "neighbour of the same class", "fraction"]} />
            <tbody>
              {rows.map((one) => (
                <tr key={one.name}>
                  <th scope="row">{one.name}</th>
                  <td>{one.count}</td>
                  <td>{one.agreeing}</td>
                  <td>{tenths(one.agreeing / one.count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {points.class_agreement.length > rows.length && (
            <p class="note">{`The largest ${MAX_LISTED} of ${points.class_agreement.length} classes.`}</p>
          )}
        </details>
      )}
    </>
  );
}
