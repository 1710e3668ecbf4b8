// Selections of the tab Data set: what is selected, what is requested from the server, and what is drawn above what.

import { beforeEach, expect, test } from "vitest";
import { setTabValues, view } from "../src/state/view";
import { drawingOrder } from "../src/tabs/dataset/points";
import type { RunInfo } from "../src/tabs/dataset/schemas";
import { select, selectionOfView, selectionText, subsetRequest } from "../src/tabs/dataset/selection";

const run = (id: string, has_images = true): RunInfo => ({ id, has_images }) as RunInfo;

beforeEach(() => select(null));

test("a selection replaces the one before it, and cells and slices stand in the address", () => {
  const cell = { kind: "cell", key: "3-5", label: "cat", predicted: "dog" } as const;
  select(cell);
  expect(selectionOfView()).toEqual(cell);
  expect(selectionText(cell)).toBe("Cell: cat, predicted as dog");
  expect(view.more.value["dataset.cell"]).toBe("3-5");
  const slice = { kind: "slice", key: "0-2", name: "camera = rear" } as const;
  select(slice);
  expect(selectionOfView()).toEqual(slice);
  expect(view.more.value["dataset.cell"]).toBeUndefined();
  const points = { kind: "points", run: run("r1"), indices: [4, 7], groups: [] } as const;
  select(points);
  expect(selectionOfView()).toEqual(points);
  expect(selectionText(points)).toBe("2 selected points");
  expect(view.more.value["dataset.slice"]).toBeUndefined();
  select({ ...points, indices: [] });
  expect(selectionOfView()).toBeNull();
  setTabValues({ "dataset.cell": "no cell" });
  expect(selectionOfView()).toBeNull();
  setTabValues({ "dataset.cell": null });
});

test("the request has the search and what applies to the run", () => {
  const points = { kind: "points", run: run("r1"), indices: [4, 7], groups: [] } as const;
  expect(subsetRequest(run("r0"), "", null)).toBeNull();
  expect(subsetRequest(run("r0"), "dog", null)).toEqual({ run: "r0", search: "dog" });
  expect(subsetRequest(run("r0"), "", points)).toEqual({ run: "r0", search: "", indices: [4, 7] });
  expect(subsetRequest(run("r0", false), "", points)).toBeNull(); // about other images
  expect(subsetRequest(run("r1", false), "", { ...points, run: run("r1", false) })).not.toBeNull();
  expect(subsetRequest(run("r0"), "", { kind: "cell", key: "3-5", label: "", predicted: "" })?.cell).toEqual([3, 5]);
  expect(subsetRequest(run("r0"), "", { kind: "slice", key: "0-2", name: "" })?.slice).toEqual([0, 2]);
});

test("wrong predictions are drawn above the others, muted points below", () => {
  const colours = ["a", "b", "c", "d"];
  const order = drawingOrder({ colours, crossed: [true, false, true, false], muted: [false, false, true, false] });
  expect(order).toEqual([2, 1, 3, 0]);
});
