// The targets of one image: boxes, regions, words, for models that have them; and what a model needs before it has any.

import { useMemo } from "preact/hooks";
import { post } from "../../api/http";
import type { Prediction, Schemas } from "../../api/types";
import { bytes } from "../../maps/packed";
import { useRequest } from "../../shared/use_request";
import { modelOf, questionOf } from "../../state/app";
import { setView, view } from "../../state/view";
import { isPrompt, promptOf, promptText } from "./target_text";

export type ImageTarget = Schemas["ImageTargetOut"];
export type Targets = Schemas["TargetsResponse"];
type Rect = [left: number, top: number, right: number, bottom: number];

/** What is requested by default is the first target, so its map is that of the target without a name. */
export const explainTarget = (spec: string): void => setView({ target: spec }, true);

/** What a model needs before there is anything to explain: a question, a text; null for nothing. */
export type Needed = "question" | "text" | null;

export function neededFirst(model = modelOf(), targets: readonly string[] = view.target.value ? [view.target.value] : []): Needed {
  if (model.image_targets === "question") return view.question.value ? null : "question";
  return model.image_targets === "image-text" && !targets.length ? "text" : null;
}

/** The targets of the image of the view; null while they are unknown, and for models whose targets are their classes. */
export const useTargets = (): Targets | null => useTargetsOf(view.model.value).targets; // why there are none is said by the map

/** The targets of a model in the image of the view, or why there are none. */
export function useTargetsOf(model: string): { targets: Targets | null; error: Error | null; retry: () => void } {
  const image = view.image.value;
  const { image_targets } = modelOf(model);
  const question = questionOf(model);
  const asked = image_targets && image_targets !== "image-text" && (image_targets !== "question" || question.question);
  const body = { image, model, ...question };
  const key = image && asked ? JSON.stringify(body) : null;
  const { data, key: of, error, retry } = useRequest(key, (signal) => post<Targets>("/api/targets", body, signal));
  return { targets: key !== null && of === key ? data : null, error: key === null ? null : error, retry };
}

/** The kind of the targets of the view: of an answer that is written, its words. */
export const kindOf = (targets: Targets | null, model = modelOf()): string | null =>
  model.image_targets === "question" ? (targets?.kind ?? null) : model.image_targets;

/** The visible name of a target: detections have the number of their box, so that two of one class differ. */
export function targetName({ name, spec }: Pick<ImageTarget, "name" | "spec">): string {
  const number = /^box (\d+)$/.exec(spec)?.[1];
  return number ? `${name} ${number}` : name;
}

/** Explains another class at the target of a map, "box 3: cat", or another text; null where targets cannot be named so. */
export function classInTarget(spec: string, labels: readonly string[], predictions: readonly Prediction[]): ((index: number) => void) | null {
  if (isPrompt(spec)) {
    const { text, other, among } = promptOf(spec);
    const texts = [text, other, ...among.split(",").map((one) => one.trim())].filter(Boolean);
    return (index) => {
      const named = predictions.find((one) => one.index === index)?.name ?? text;
      explainTarget(promptText({ text: named, other: "", among: texts.filter((one) => one !== named).join(", ") }));
    };
  }
  const place = /^(box|word) \d+/.exec(spec)?.[0];
  return place ? (index) => explainTarget(`${place}: ${labels[index] ?? index}`) : null;
}

/** Cells by rows, and whether each of them is inside. */
export interface Mask {
  width: number;
  height: number;
  at(x: number, y: number): boolean;
}

/** A target on the image: its rectangle in pixels of the image, and the outline of its mask in cells of the mask. */
export interface Shape {
  target: ImageTarget;
  rect: Rect;
  mask: Mask | null;
  outline: string;
}

/** The targets that have a place on the image. */
export const useShapes = (targets: Targets | null): Shape[] => useMemo(() => (targets ? shapesOf(targets) : []), [targets]);

export function shapesOf({ targets, size }: Pick<Targets, "targets" | "size">): Shape[] {
  return targets.flatMap((target): Shape[] => {
    if (target.mask) {
      const mask = maskOf(target.mask);
      const scale = [size[0]! / mask.width, size[1]! / mask.height];
      const rect = boundsOf(mask).map((at, i) => at * scale[i % 2]!) as Rect;
      return [{ target, rect, mask, outline: outlineOf(mask) }];
    }
    const rect = target.box ?? (target.point && [...target.point, ...target.point]);
    return rect ? [{ target, rect: rect as Rect, mask: null, outline: "" }] : [];
  });
}

/** The mask of a response: a bit for each cell. */
function maskOf({ width, height, bits }: NonNullable<ImageTarget["mask"]>): Mask {
  const packed = bytes(bits);
  const bit = (i: number): boolean => ((packed[i >> 3]! >> (7 - (i & 7))) & 1) === 1;
  return { width, height, at: (x, y) => x >= 0 && y >= 0 && x < width && y < height && bit(y * width + x) };
}

/** The smallest shape at a point of the image, given in its pixels; shapes of less than `reach` pixels are that large. */
export function shapeAt(shapes: readonly Shape[], size: readonly number[], x: number, y: number, reach: number): Shape | null {
  const hit = shapes.filter(({ rect: [left, top, right, bottom], mask }) => {
    const [spareX, spareY] = [Math.max(0, (reach - (right - left)) / 2), Math.max(0, (reach - (bottom - top)) / 2)];
    const inRect = x >= left - spareX && x < right + spareX && y >= top - spareY && y < bottom + spareY;
    if (!mask || spareX > 0 || spareY > 0) return inRect;
    return mask.at(Math.floor((x / size[0]!) * mask.width), Math.floor((y / size[1]!) * mask.height));
  });
  const area = ({ rect: [left, top, right, bottom] }: Shape): number => (right - left) * (bottom - top);
  return hit.toSorted((a, b) => area(a) - area(b))[0] ?? null;
}

/** The cells that contain all that is inside, or all of them. */
function boundsOf({ width, height, at }: Mask): Rect {
  const columns = [...Array(width).keys()];
  const rows = [...Array(height).keys()];
  const hasRow = (y: number): boolean => columns.some((x) => at(x, y));
  const hasColumn = (x: number): boolean => rows.some((y) => at(x, y));
  const [left, top] = [columns.findIndex(hasColumn), rows.findIndex(hasRow)];
  return left < 0 ? [0, 0, width, height] : [left, top, columns.findLastIndex(hasColumn) + 1, rows.findLastIndex(hasRow) + 1];
}

/** The edges between cells inside and outside, as the path of an SVG. */
export function outlineOf({ width, height, at }: Mask): string {
  /** The runs of edges along some lines, each as a path. */
  const along = (lines: number, length: number, isEdge: (line: number, i: number) => boolean, path: (line: number, from: number, to: number) => string) =>
    Array.from({ length: lines + 1 }, (_, line) => {
      const edges = Array.from({ length }, (_, i) => Number(isEdge(line, i))).join("");
      return [...edges.matchAll(/1+/g)].map((run) => path(line, run.index, run.index + run[0].length)).join("");
    }).join("");
  return (
    along(height, width, (y, x) => at(x, y - 1) !== at(x, y), (y, from, to) => `M${from} ${y}H${to}`) +
    along(width, height, (x, y) => at(x - 1, y) !== at(x, y), (x, from, to) => `M${x} ${from}V${to}`)
  );
}
