// What is selected in one view of the data set and applies to all of them: a search, and a cell, a slice or points.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { post } from "../../api/http";
import type { Schemas } from "../../api/types";
import { counted } from "../../numbers";
import { debounce } from "../../shared/debounce";
import { Pending } from "../../shared/pending";
import { useRequest } from "../../shared/use_request";
import { setTabValues, tabValue } from "../../state/view";
import type { RunInfo, Subset } from "./schemas";

/**
 * A cell of the confusion matrix ("3-5": images of class 3, predicted as class 5), a slice of an audit ("0-3": slice 3 of
 * audit 0), or points of an embedding by their indices in the data set, with the lines of the legend that they come from.
 */
export type Selection =
  | { kind: "cell"; key: string; label: string; predicted: string }
  | { kind: "slice"; key: string; name: string }
  | { kind: "points"; run: RunInfo; indices: readonly number[]; groups: readonly string[] };

/** Points do not stand in the address: they may be thousands. */
const points = signal<Selection | null>(null);

/** What is selected; cells and slices stand in the address. Subscribes to it. */
export function selectionOfView(): Selection | null {
  const isPair = (key: string): boolean => /^\d+-\d+$/.test(key);
  const [cell, slice] = [tabValue("dataset.cell"), tabValue("dataset.slice")];
  const [label = "", predicted = ""] = tabValue("dataset.cell_names").split("|");
  if (points.value) return points.value;
  if (isPair(cell)) return { kind: "cell", key: cell, label, predicted };
  return isPair(slice) ? { kind: "slice", key: slice, name: tabValue("dataset.slice_name") } : null;
}

/** Select something instead of what was selected; null for nothing. */
export function select(next: Selection | null): void {
  const cell = next?.kind === "cell" ? next : null;
  const slice = next?.kind === "slice" ? next : null;
  points.value = next?.kind === "points" && next.indices.length ? next : null;
  setTabValues(
    {
      "dataset.cell": cell && cell.key,
      "dataset.cell_names": cell && `${cell.label}|${cell.predicted}`,
      "dataset.slice": slice && slice.key,
      "dataset.slice_name": slice && slice.name,
    },
    next?.kind !== "points",
  );
}

export const searchOfView = (): string => tabValue("dataset.search");
const setSearch = (text: string): void => setTabValues({ "dataset.search": text.trim() || null });

/** Whether a selection has a meaning for a run: points of one run are those of another if both are about the app's images. */
export function appliesTo(selection: Selection, run: RunInfo): boolean {
  if (selection.kind === "slice") return run.has_images;
  return selection.kind === "cell" || selection.run.id === run.id || (selection.run.has_images && run.has_images);
}

/** A selection as text. */
export function selectionText(selection: Selection): string {
  if (selection.kind === "slice") return `Slice: ${selection.name}`;
  if (selection.kind === "points")
    return selection.groups.length ? `Classes: ${selection.groups.join(", ")}` : counted(selection.indices.length, "selected point");
  const { label, predicted } = selection;
  if (!label) return "A cell of the confusion matrix";
  return `Cell: ${label}, ${label === predicted ? "predicted correctly" : `predicted as ${predicted}`}`;
}

/** The request for a search within a selection; null if neither restricts a run. */
export function subsetRequest(run: RunInfo, search: string, selection: Selection | null): Schemas["SubsetRequest"] | null {
  const within = selection && appliesTo(selection, run) ? selection : null;
  if (!within) return search ? { run: run.id, search } : null;
  if (within.kind === "points") return { run: run.id, search, indices: [...within.indices] };
  return { run: run.id, search, [within.kind]: within.key.split("-").map(Number) };
}

/** The images that a search finds within a selection; `active` is false if they are all. */
export function useSubset(run: RunInfo | null, search: string, selection: Selection | null) {
  const body = run && subsetRequest(run, search, selection);
  const key = body && JSON.stringify(body);
  const request = useRequest<Subset>(key, (signal) => post<Subset>("/api/dataset/subset", body, signal));
  // While another one is requested, the last one stays on the screen.
  return { ...request, active: key !== null, data: key !== null ? request.data : null, current: request.key === key };
}

const QUIET_MS = 250;

/** The search field, and the search and the selection as chips that can be removed. */
export function SelectionBar({ run, subset }: { run: RunInfo; subset: ReturnType<typeof useSubset> }) {
  const search = searchOfView();
  const selection = selectionOfView();
  const field = useRef<HTMLInputElement>(null);
  const searchSoon = useRef(debounce(QUIET_MS, setSearch)).current;
  const selected = selection !== null;
  useEffect(() => {
    // Escape clears the selection, unless it means something where the focus is.
    const press = (event: KeyboardEvent): void => {
      if (!selected || event.key !== "Escape" || event.defaultPrevented) return;
      if ((event.target as Element).closest?.("input, select, textarea, dialog")) return;
      event.preventDefault();
      select(null);
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [selected]);
  useEffect(() => {
    if (document.activeElement !== field.current) field.current!.value = search;
  }, [search]);
  const removeSearch = (): void => {
    field.current!.value = "";
    setSearch("");
  };
  const chip = (text: string, label: string, remove: () => void) => (
    <span class="chip">
      {text}
      <button class="quiet" aria-label={label} title={label} onClick={remove}>×</button>
    </span>
  );
  const { active, busy, data } = subset;
  return (
    <div class="selection" data-subset={active ? (busy ? undefined : String(data?.n ?? "")) : "all"}>
      <input
        ref={field}
        type="search"
        aria-label="Search images"
        aria-describedby="search-columns"
        placeholder="Search: dog, split:val"
        maxLength={200}
        defaultValue={search}
        onInput={(event) => searchSoon(event.currentTarget.value)}
      />
      <div class="chips" role="group" aria-label="Filters">
        {search && chip(`Search: ${search}`, "Remove the search", removeSearch)}
        {selection && chip(selectionText(selection), "Clear the selection", () => select(null))}
      </div>
      <p class="note" role="status">
        {active && data && `${data.n.toLocaleString("en")} of ${counted(data.n_images, "image")} selected`}
        {selection && !appliesTo(selection, run) && " The selection does not apply to the images of this run."}
      </p>
      <p class="note columns" id="search-columns">
        {`Words of the class or of the file name, or column:value${data ? ` with ${data.columns.join(", ")}` : " as in predicted:cat"}. Escape clears the selection.`}
      </p>
      <Pending requests={[active ? subset : { ...subset, error: null }]} />
    </div>
  );
}
