// What is selected in one view of the data set and applies to all of them: a search, and a cell, a slice or points.

import { signal } from "@preact/signals";
import { post } from "../../api/http";
import { counted } from "../../numbers";
import { useRequest } from "../../shared/use_request";
import { setTabValues, tabValue } from "../../state/view";
import type { RunInfo, Subset, SubsetRequest } from "./schemas";

/** A cell of the confusion matrix; `key` is "3-5" for images of class 3, predicted as class 5. */
export interface CellSelection {
  kind: "cell";
  key: string;
  label: string;
  predicted: string;
}

/** A slice of an audit; `key` is "0-3" for slice 3 of audit 0. */
export interface SliceSelection {
  kind: "slice";
  key: string;
  name: string;
}

/** Points of an embedding, by their indices in the data set; `groups` are the lines of the legend that they come from. */
export interface PointSelection {
  kind: "points";
  run: RunInfo;
  indices: readonly number[];
  groups: readonly string[];
}

export type Selection = CellSelection | SliceSelection | PointSelection;

/** Points do not stand in the address: they may be thousands. */
const points = signal<PointSelection | null>(null);

/** What is selected; cells and slices stand in the address. Subscribes to it. */
export function selectionOfView(): Selection | null {
  const pair = /^\d+-\d+$/;
  const [cell, slice] = [tabValue("dataset.cell"), tabValue("dataset.slice")];
  const [label = "", predicted = ""] = tabValue("dataset.cell_names").split("|");
  if (points.value) return points.value;
  if (pair.test(cell)) return { kind: "cell", key: cell, label, predicted };
  return pair.test(slice) ? { kind: "slice", key: slice, name: tabValue("dataset.slice_name") } : null;
}

/** Select something instead of what was selected; null for nothing. */
export function select(next: Selection | null): void {
  points.value = next?.kind === "points" && next.indices.length ? next : null;
  setTabValues(
    {
      "dataset.cell": next?.kind === "cell" ? next.key : null,
      "dataset.cell_names": next?.kind === "cell" ? `${next.label}|${next.predicted}` : null,
      "dataset.slice": next?.kind === "slice" ? next.key : null,
      "dataset.slice_name": next?.kind === "slice" ? next.name : null,
    },
    next?.kind !== "points",
  );
}

export const searchOfView = (): string => tabValue("dataset.search");
export const setSearch = (text: string): void => setTabValues({ "dataset.search": text.trim() || null });

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
export function subsetRequest(run: RunInfo, search: string, selection: Selection | null): SubsetRequest | null {
  const within = selection && appliesTo(selection, run) ? selection : null;
  if (!search && !within) return null;
  const pair = (key: string): [number, number] => key.split("-").map(Number) as [number, number];
  return {
    run: run.id,
    search,
    ...(within?.kind === "cell" && { cell: pair(within.key) }),
    ...(within?.kind === "slice" && { slice: pair(within.key) }),
    ...(within?.kind === "points" && { indices: [...within.indices] }),
  };
}

/** The images that a search finds within a selection; `active` is false if they are all. */
export function useSubset(run: RunInfo | null, search: string, selection: Selection | null) {
  const body = run && subsetRequest(run, search, selection);
  const key = body && JSON.stringify(body);
  const request = useRequest<Subset>(key, (signal) => post<Subset>("/api/dataset/subset", body, signal));
  // While another one is requested, the last one stays on the screen.
  return { ...request, active: key !== null, data: key !== null ? request.data : null, current: request.key === key };
}
