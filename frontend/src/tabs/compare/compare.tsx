// Compare: a grid of maps of one image, two of them over each other, and how similar all of them are.

import "../../styles/compare.css";
import { useMemo, useRef, useState } from "preact/hooks";
import { loadImage } from "../../api/images";
import { stream } from "../../api/stream";
import { chance } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { pngOf, saveFile } from "../../shared/files";
import { ImagePicker } from "../../shared/image_picker";
import { Predictions } from "../../shared/predictions";
import { ProgressBar } from "../../shared/progress_bar";
import { useRequest } from "../../shared/use_request";
import { app, className, modelOf, say, sayError } from "../../state/app";
import { tabValue } from "../../state/view";
import { neededText } from "../explain/question_field";
import { neededFirst, type Targets, useTargetsOf } from "../explain/targets";
import { gridCanvas, type GridFile } from "./grid_file";
import { gridHtml } from "./grid_html";
import { captionOf, commonOf, fullLabelOf, headingOf, labelOf, missingOf } from "./headings";
import { MapGrid } from "./map_grid";
import { PairCard, pairOf, selectInGrid, setPair } from "./pair";
import { Results } from "./results";
import type { Cell, Comparison, Expected, ModelResult } from "./schemas";
import { countMaps, MAX_MAPS, modelsOfView, type Selection, selectionOfView, setSelection } from "./selection";
import { isSharedScale, SelectionPanel } from "./selection_panel";
import { Similarity } from "./similarity";
import { keyOf, tableLayout } from "./table_layout";

const STOPPED = "Stopped.";

export function Compare() {
  const [model] = modelsOfView() as [string];
  const found = useTargetsOf(model);
  const selection = selectionOfView(found.targets);
  const key = JSON.stringify(selection);
  const { image_targets } = modelOf(model);
  const pending = image_targets !== null && image_targets !== "image-text" && !found.targets && !found.error;
  const needed = selection.models.map((name) => neededFirst(modelOf(name), selection.targets)).find(Boolean) ?? null;
  const n = countMaps(selection);
  const refused = n > MAX_MAPS;
  const current = useRef<{ key: string; results: Results } | null>(null);
  const coming = useRef<{ key: string; results: Results } | null>(null);
  const [version, setVersion] = useState(0);
  const [drawn, setDrawn] = useState("");
  const canvases = useRef(new Map<string, HTMLCanvasElement>()).current;
  const changed = (): void => setVersion((now) => now + 1);

  const request = useRequest<Results>(
    selection.image && !refused && !needed && !pending && selection.targets.length > 0 ? key : null,
    async (signal, listener) => {
      const known = current.current;
      if (known?.key === key && known.results.whole) return known.results;
      const image = await loadImage(selection.image);
      const results = new Results(selection, image);
      coming.current = { key, results };
      results.finish(await stream<Comparison>("/api/compare", selection, listener, signal));
      current.current = coming.current;
      return results;
    },
    (name, content) => {
      const { results } = coming.current!;
      if (name === "expected") results.expect(content as Expected);
      else if (name === "cells") results.arrive((content as { cells: Cell[] }).cells);
      current.current = coming.current;
      changed();
    },
  );
  const { busy } = request;
  const error = needed ? null : request.error;
  const stopped = error?.message === STOPPED;
  const now = current.current;
  // Results of another selection are there only until the first of this one arrive.
  const results = now && !needed && (now.key === key || busy || refused) ? now.results : null;
  const shared = isSharedScale() && (results?.comparable.length ?? 0) > 0;
  const shownVersion = `${version} ${results?.whole ? "whole" : ""}`;
  const fields = useMemo(() => results?.fieldsFor(shared) ?? new Map(), [results, shownVersion, shared]);
  const layout = useMemo(() => tableLayout(results?.cells ?? [], tabValue("compare.across")), [results, shownVersion, tabValue("compare.across")]);
  const pair = pairOf(results);
  const [a, b] = pair;
  const done = (): void => setDrawn(results?.whole ? `${results.whole.image} ${results.withMap.length}` : "");
  const isDrawn = results?.whole && drawn === `${results.whole.image} ${results.withMap.length}` && now?.key === key;
  return (
    <div
      class="compare-tab"
      aria-busy={busy || undefined}
      data-drawn={isDrawn ? drawn : undefined}
      data-scale={tabValue("compare.scale") || "own"}
      data-refused={refused ? String(n) : undefined}
    >
      <div class="pictures">
        <ImagePicker />
      </div>
      <SelectionPanel selection={selection} results={results} targets={found.targets} />
      <div class="found">
        <div class="row status">
          <p class="summary">
            {refused
              ? `${n} maps are selected; at most ${MAX_MAPS} are computed at once. Reduce the selection.`
              : results && <Summary results={results} stopped={stopped} shared={shared} />}
            {stopped && (
              <button class="again" onClick={request.retry}>
                Continue
              </button>
            )}
          </p>
          <div class="row saves">
            <button class="save" disabled={!results?.withMap.length} onClick={() => results && void saveGrid(results, canvases, shared)}>
              Grid as PNG
            </button>
            <button
              class="save"
              title="One file with the image, all maps and their similarity; it opens without a server or a network"
              disabled={!results?.withMap.length}
              onClick={() => results && saveGridPage(results, canvases, shared)}
            >
              Grid as HTML
            </button>
          </div>
        </div>
        <div class="task">
          {busy && <ProgressBar what="Explaining" progress={request.progress} stop={request.stop} />}
        </div>
        {needed && <p class="lead">{neededText(needed)}</p>}
        {!selection.targets.length && <ErrorMessage error={found.error} retry={found.retry} />}
        {!stopped && <ErrorMessage error={error} retry={request.retry} />}
        {results && (
          <>
            <Faults results={results} />
            {results.models.length > 1 && (
              <ModelPredictions models={results.models} add={(one, index) => addClass(one, index, selection, found.targets)} />
            )}
            {layout.placed.length > 0 && (
              <MapGrid
                image={results.image}
                layout={layout}
                fields={fields}
                headingOf={headingOf(results)}
                caption={(cell) => captionOf(results, cell, shared)}
                label={fullLabelOf}
                waiting={busy && !results.whole}
                selected={[a ? keyOf(a) : "", b ? keyOf(b) : ""]}
                select={(cell) => selectInGrid(pair, cell)}
                canvases={canvases}
                drawn={done}
              />
            )}
            <div class="beside-each-other">
              {a && b && <PairCard results={results} a={a} b={b} />}
              {results.whole?.correlation && (
                <Similarity results={results} pair={pair} select={(one, other) => setPair(keyOf(one), keyOf(other))} />
              )}
            </div>
          </>
        )}
      </div>
    </div>
  );
}

function Summary({ results, stopped, shared }: { results: Results; stopped: boolean; shared: boolean }) {
  const how = shared
    ? "Maps of one method at one layer share a scale, so that equal colours are equal values. Other maps are not comparable."
    : "Each map has its own scale; equal colours are not equal values.";
  const seconds = results.whole ? [`${results.whole.seconds.toPrecision(2)} s`] : [];
  return (
    <>
      <b>{[...commonOf(results), ...seconds].join(" · ")}</b> {stopped ? "Stopped; the maps computed so far are kept. " : how}
    </>
  );
}

/** What could not be requested at all. */
function Faults({ results }: { results: Results }) {
  const lost = results.cells.filter((cell) => !cell.method && cell.error);
  if (!lost.length) return null;
  return (
    <ul class="faults">
      {lost.map((cell) => (
        <li key={keyOf(cell)}>{`${missingOf(results, cell)}: ${cell.error}`}</li>
      ))}
    </ul>
  );
}

/** What several models predict; a class adds its maps to the grid. */
function ModelPredictions(props: { models: readonly ModelResult[]; add: (model: ModelResult, index: number) => void }) {
  // Networks that write a text, or compare the image with one, predict no class of the image.
  const models = props.models.filter((one) => one.predictions.length > 0);
  if (!models.length) return null;
  const best = models.map((one) => one.predictions[0]!);
  const agree = new Set(best.map((prediction) => prediction.name)).size === 1;
  const each = models.map((one, i) => (agree ? `${one.model} ${chance(best[i]!)}` : `${one.model} predicts ${best[i]!.name} (${chance(best[i]!)})`));
  return (
    <section class="card opinions">
      <h2>Predictions</h2>
      <p class="agreement" data-agree={agree ? "yes" : "no"}>
        {agree ? `All models predict ${best[0]!.name}: ${each.join(", ")}.` : `The models differ: ${each.join(", ")}.`}
      </p>
      <div class="each">
        {models.map((one) => (
          <div key={one.model}>
            <h3>{one.model}</h3>
            <Predictions predictions={one.predictions} selected={null} change={(index) => props.add(one, index)} />
          </div>
        ))}
      </div>
    </section>
  );
}

/** Add a class of a model; targets are indices of the first model. */
function addClass(model: ModelResult, index: number, selection: Selection, found: Targets | null): void {
  const { models, targets } = selection;
  const first = modelOf(models[0]);
  const name = className(index, model.model);
  const here = model.model === first.name ? index : first.labels.indexOf(name);
  if (here < 0) say(`${first.name} has no class ${name}.`, "error");
  else if (!targets.includes(String(here))) setSelection("targets", [...targets, String(here)], found);
}

type Canvases = ReadonlyMap<string, HTMLCanvasElement>;

async function saveGrid(results: Results, canvases: Canvases, shared: boolean): Promise<void> {
  const content = pngOf(gridCanvas(gridFile(results, canvases, shared)));
  await content.then((png) => saveFile(png, `compare-${results.selection.image}.png`), sayError);
}

function saveGridPage(results: Results, canvases: Canvases, shared: boolean): void {
  const { image, withMap, whole, selection } = results;
  const table = whole?.correlation;
  const similarity = table ? { names: withMap.map((cell) => labelOf(results, cell)), table } : null;
  const content = gridHtml({ ...gridFile(results, canvases, shared), image, similarity, label: fullLabelOf });
  saveFile(new Blob([content], { type: "text/html" }), `compare-${selection.image}.html`);
}

function gridFile(results: Results, canvases: Canvases, shared: boolean): GridFile {
  const { selection, whole } = results;
  const scale = shared ? "maps of one method at one layer share a scale" : "each map has its own scale";
  const source = [selection.models.join(", "), whole?.name ?? selection.image, `camlucida ${app.start.version}`];
  return {
    layout: tableLayout(results.cells, tabValue("compare.across")),
    title: commonOf(results).join(" · "),
    footer: [scale, ...source].join(" · "),
    headingOf: headingOf(results),
    at: ({ cell, again }) => ({
      canvas: again ? undefined : canvases.get(keyOf(cell)),
      text: again ? "as above" : (cell.error ?? (cell.map ? captionOf(results, cell, shared) : "")),
    }),
  };
}
