// Compare: a grid of maps of one image, two of them over each other, and how similar all of them are.

import "../../styles/compare.css";
import { useSignal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import { loadImage } from "../../api/images";
import { stream } from "../../api/stream";
import { chance } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { pngOf, saveFile } from "../../shared/files";
import { ImagePicker } from "../../shared/image_picker";
import { Predictions } from "../../shared/predictions";
import { ProgressBar } from "../../shared/progress_bar";
import { STOPPED, useRequest } from "../../shared/use_request";
import { className, modelOf, say, sayError } from "../../state/app";
import { tabValue } from "../../state/view";
import { neededText } from "../explain/question_field";
import { neededFirst, type Targets, useTargetsOf } from "../explain/targets";
import { type Grid, gridCanvas, gridHtml } from "./grid_file";
import { commonOf } from "./headings";
import { MapGrid } from "./map_grid";
import { PairCard, pairOf, selectInGrid } from "./pair";
import { type Cell, type Comparison, type Expected, type ModelResult, Results } from "./results";
import { countMaps, MAX_MAPS, modelsOfView, type Selection, selectionOfView, setSelection } from "./selection";
import { isSharedScale, SelectionPanel } from "./selection_panel";
import { Similarity } from "./similarity";
import { keyOf, tableLayout } from "./table_layout";

export function Compare() {
  const root = useRef<HTMLDivElement>(null);
  const [model] = modelsOfView() as [string];
  const found = useTargetsOf(model);
  const selection = selectionOfView(found.targets);
  const key = JSON.stringify(selection);
  const { image_targets } = modelOf(model);
  const pending = image_targets !== null && image_targets !== "image-text" && !found.targets && !found.error;
  const needed = selection.models.map((name) => neededFirst(modelOf(name), selection.targets)).find(Boolean) ?? null;
  const n = countMaps(selection);
  const refused = n > MAX_MAPS;
  const latest = useSignal<{ key: string; results: Results } | null>(null);
  const drawn = useSignal("");

  const request = useRequest(
    selection.image && !refused && !needed && !pending && selection.targets.length > 0 ? key : null,
    async (signal, listener) => {
      const known = latest.peek();
      if (known?.key === key && known.results.whole) return;
      const results = new Results(selection, await loadImage(selection.image));
      const event = (name: string, content: unknown): void => {
        if (name === "expected") results.expect(content as Expected);
        else if (name === "cells") results.arrive((content as { cells: Cell[] }).cells);
        latest.value = { key, results };
      };
      results.finish(await stream<Comparison>("/api/compare", selection, { ...listener, event }, signal));
      latest.value = { key, results };
    },
  );
  const { busy } = request;
  const error = needed ? null : request.error;
  const stopped = error?.message === STOPPED;
  const now = latest.value;
  // Results of another selection are there only until the first of this one arrive.
  const results = now && !needed && (now.key === key || busy || refused) ? now.results : null;
  const shared = isSharedScale() && (results?.comparable.length ?? 0) > 0;
  const fields = useMemo(() => results?.fieldsFor(shared) ?? new Map(), [results && now, shared]);
  const across = tabValue("compare.across");
  const layout = useMemo(() => tableLayout(results?.cells ?? [], across), [results && now, across]);
  const pair = pairOf(results);
  const [a, b] = pair;
  const whole = results?.whole;
  const drawnText = whole ? `${whole.image} ${results.withMap.length}` : "";
  const save = (kind: "png" | "html") => async (): Promise<void> => {
    const grid: Grid = { results: results!, layout, shared, table: root.current!.querySelector<HTMLTableElement>("table.grid")! };
    const content = kind === "png" ? pngOf(gridCanvas(grid)) : new Blob([gridHtml(grid)], { type: "text/html" });
    saveFile(await content, `compare-${selection.image}.${kind}`);
  };
  const saveButton = (kind: "png" | "html", title?: string) => (
    <button class="save" title={title} disabled={!results?.withMap.length} onClick={() => void save(kind)().catch(sayError)}>
      {`Grid as ${kind.toUpperCase()}`}
    </button>
  );
  return (
    <div
      ref={root}
      class="compare-tab"
      aria-busy={busy || undefined}
      data-drawn={drawnText && drawn.value === drawnText && now?.key === key ? drawnText : undefined}
      data-scale={tabValue("compare.scale") || "own"}
      data-refused={refused ? String(n) : undefined}
    >
      <div class="pictures"><ImagePicker /></div>
      <SelectionPanel selection={selection} results={results} targets={found.targets} />
      <div class="found">
        <div class="row status">
          <p class="summary">
            {refused
              ? `${n} maps are selected; at most ${MAX_MAPS} are computed at once. Reduce the selection.`
              : results && <Summary results={results} stopped={stopped} shared={shared} />}
            {stopped && <button class="again" onClick={request.retry}>Continue</button>}
          </p>
          <div class="row saves">
            {saveButton("png")}
            {saveButton("html", "One file with the image, all maps and their similarity; it opens without a server or a network")}
          </div>
        </div>
        <div class="task">
          {busy && <ProgressBar what="Explaining" progress={request.progress} stop={request.stop} />}
        </div>
        {needed && <p class="lead">{neededText(needed)}</p>}
        {!selection.image && <p class="lead">Select an image to compare its maps.</p>}
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
                results={results}
                layout={layout}
                fields={fields}
                shared={shared}
                waiting={busy && !whole}
                pair={pair}
                select={(cell) => selectInGrid(pair, cell)}
                drawn={() => (drawn.value = drawnText)}
              />
            )}
            <div class="beside-each-other">
              {a && b && <PairCard results={results} a={a} b={b} />}
              {whole?.correlation && <Similarity results={results} pair={pair} />}
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

function Faults({ results: { cells, selection } }: { results: Results }) {
  const lost = cells.filter((cell) => !cell.method && cell.error);
  const what = (cell: Cell): string =>
    [selection.models.length > 1 && cell.model, cell.layer ?? cell.target].filter(Boolean).join(", ");
  if (!lost.length) return null;
  return <ul class="faults">{lost.map((cell) => <li key={keyOf(cell)}>{`${what(cell)}: ${cell.error}`}</li>)}</ul>;
}

/** What several models predict; a class adds its maps to the grid. */
function ModelPredictions(props: { models: readonly ModelResult[]; add: (model: ModelResult, index: number) => void }) {
  // Networks that write a text, or compare the image with one, predict no class of the image.
  const models = props.models.filter((one) => one.predictions.length > 0);
  if (!models.length) return null;
  const best = models.map((one) => ({ model: one.model, ...one.predictions[0]! }));
  const agree = best.every(({ name }) => name === best[0]!.name);
  const each = best.map((one) => (agree ? `${one.model} ${chance(one)}` : `${one.model} predicts ${one.name} (${chance(one)})`));
  return (
    <section class="card opinions">
      <h2>Predictions</h2>
      <p class="agreement" data-agree={agree ? "yes" : "no"}>
        {`${agree ? `All models predict ${best[0]!.name}` : "The models differ"}: ${each.join(", ")}.`}
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
function addClass(model: ModelResult, index: number, { models, targets }: Selection, found: Targets | null): void {
  const first = modelOf(models[0]);
  const name = className(index, model.model);
  const here = model.model === first.name ? index : first.labels.indexOf(name);
  if (here < 0) say(`${first.name} has no class ${name}.`, "error");
  else if (!targets.includes(String(here))) setSelection("targets", [...targets, String(here)], found);
}
