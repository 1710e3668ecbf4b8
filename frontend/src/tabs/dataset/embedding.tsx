// The embedding: every image is a point, near the images whose features are similar.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { get } from "../../api/http";
import { loadImage } from "../../api/images";
import { counted, tenths } from "../../numbers";
import { CheckBox, Field, Select } from "../../shared/controls";
import { ErrorMessage } from "../../shared/error_message";
import { useRequest } from "../../shared/use_request";
import { setTabValues, tabValue } from "../../state/view";
import { type LinkedCell, linkedCell, LinkedCellFilter } from "./linked_cell";
import { PointCard } from "./point_card";
import { COLOUR_BY, type ColourBy, defaultColouring, type Group, groupsOf } from "./point_groups";
import { openSample } from "./samples";
import { ScatterCanvas, ScatterPlot } from "./scatter_canvas";
import { type Points, query, type RunInfo } from "./schemas";

const PROJECTIONS: Record<string, string> = { tsne: "t-SNE", pca: "PCA", umap: "UMAP" };
const MAX_LISTED = 200;
/** Thumbnails of at most this number of points are loaded. */
const MAX_THUMBNAILS = 400;
const THUMBNAIL_PX = 48;

export function Embedding({ run }: { run: RunInfo }) {
  const request = useRequest<Points>(
    query("points", { run: run.id, projection: tabValue("dataset.way") || null }),
    (signal) => get<Points>(query("points", { run: run.id, projection: tabValue("dataset.way") || null }), signal),
  );
  const points = request.data;
  const by = COLOUR_BY.find((one) => one.value === tabValue("dataset.colour"))?.value ?? (points ? defaultColouring(points) : "truth");
  const groups = useMemo(() => (points ? groupsOf(points, by) : []), [points, by]);
  const [only, setOnly] = useState<ReadonlySet<string>>(new Set());
  const [words, setWords] = useState("");
  const [point, setPoint] = useState<number | null>(null);
  const [near, setNear] = useState<readonly number[]>([]);
  const [thumbnails, setThumbnails] = useState(false);
  const plot = useRef<ScatterPlot | null>(null);
  const cell = linkedCell();
  useLayoutEffect(() => setOnly(new Set()), [points, by]);
  useLayoutEffect(() => {
    if (!points) return;
    plot.current!.set(points);
    setPoint(null);
  }, [points]);
  useLayoutEffect(() => {
    if (points) plot.current!.paint(styleOf(points, groups, only, words, cell));
  }, [points, groups, only, words, cell?.key]);
  useLayoutEffect(() => plot.current!.mark(point, near), [point, near]);
  const thumbnailOf = useThumbnails(run, points, thumbnails, () => plot.current!.draw());
  useLayoutEffect(() => {
    plot.current!.thumbnail = thumbnailOf;
    plot.current!.draw();
  }, [thumbnailOf]);
  const mark = (next: number): void => {
    setNear([]);
    setPoint(next);
  };
  useLayoutEffect(() => {
    plot.current!.onMark = mark;
    plot.current!.onPick = (picked, touched) => {
      if (touched || !run.has_images) mark(picked);
      else openSample(run, `s${points!.indices[picked]!}`);
    };
  });
  const toggle = (name: string): void => {
    const next = new Set(only);
    if (!next.delete(name)) next.add(name);
    setOnly(next);
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
        <Field label="Classes" class="grow">
          {(id) => (
            <input
              id={id}
              type="search"
              placeholder="Find a class"
              aria-label="Show only classes that contain these words"
              maxLength={100}
              value={words}
              onInput={(event) => setWords(event.currentTarget.value)}
            />
          )}
        </Field>
        {run.has_images && <CheckBox label="Thumbnails" checked={thumbnails} change={setThumbnails} />}
      </div>
      <LinkedCellFilter />
      <ErrorMessage error={request.error} retry={request.retry} />
      <div class="stage">
        <div class="left">
          <ScatterCanvas label="Images as points" plotRef={plot} />
          <div class="legend" role="group" aria-label="Show only selected classes">
            {groups.map(({ name, colour, points: members }) => (
              <button key={name} aria-pressed={only.has(name)} onClick={() => toggle(name)}>
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

/** Colours, and which points are muted: those of other classes than the selected ones, or outside the linked cell. */
function styleOf(points: Points, groups: readonly Group[], only: ReadonlySet<string>, text: string, cell: LinkedCell | null) {
  const colours = new Array<string>(points.x.length).fill("--soft");
  const muted = new Array<boolean>(points.x.length).fill(only.size > 0);
  for (const group of groups)
    for (const i of group.points) {
      colours[i] = group.colour;
      if (only.has(group.name)) muted[i] = false;
    }
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hit = points.classes.map((name) => words.every((word) => name.toLowerCase().includes(word)));
  if (words.length)
    points.label_index.forEach((label, i) => {
      muted[i] ||= !(hit[label] || (label === -1 && hit[points.predicted_index[i]!]));
    });
  if (cell?.label)
    points.label_index.forEach((label, i) => {
      const inside = points.classes[label] === cell.label && points.classes[points.predicted_index[i]!] === cell.predicted;
      muted[i] ||= !inside;
    });
  return { colours, crossed: points.correct.map((one) => one === 0), muted };
}

/** The images of points as they arrive; null if they are not to be drawn. */
function useThumbnails(run: RunInfo, points: Points | null, wanted: boolean, arrived: () => void) {
  const images = useRef(new Map<number, HTMLImageElement>());
  useEffect(() => {
    images.current = new Map();
    if (!wanted || !points || !run.has_images) return;
    let stopped = false;
    const waiting = points.indices.slice(0, MAX_THUMBNAILS).map((index, i) => [i, index] as const);
    const next = async (): Promise<void> => {
      const one = waiting.shift();
      if (!one || stopped) return;
      const image = await loadImage(`s${one[1]}`, THUMBNAIL_PX).catch(() => null);
      if (image && !stopped) {
        images.current.set(one[0], image);
        arrived();
      }
      return next();
    };
    for (let lane = 0; lane < 4; lane++) void next();
    return () => void (stopped = true);
  }, [wanted, points]);
  return useMemo(() => (wanted ? (i: number) => images.current.get(i) ?? null : null), [wanted]);
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
            <thead>
              <tr>
                {["class", "images", "neighbour of the same class", "fraction"].map((text) => (
                  <th scope="col" key={text}>
                    {text}
                  </th>
                ))}
              </tr>
            </thead>
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
