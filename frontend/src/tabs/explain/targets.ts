// The targets of one image: boxes, regions, words, for models that have them; and what a model needs before it has any.

import { useMemo } from "preact/hooks";
import { post } from "../../api/http";
import type { Prediction, Schemas } from "../../api/types";
import { useRequest } from "../../shared/use_request";
import { modelOf, questionOf } from "../../state/app";
import { setView, view } from "../../state/view";
import { isPrompt, promptOf, promptText } from "./target_text";

export type ImageTarget = Schemas["ImageTargetOut"];
export type Targets = Schemas["TargetsResponse"];
type Rect = [number, number, number, number];

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
  const key = image && asked ? JSON.stringify({ image, model, ...question }) : null;
  const { data, key: of, error, retry } = useRequest<Targets>(key, (signal) => post<Targets>("/api/targets", JSON.parse(key!), signal));
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
    const named = (index: number): string => predictions.find((one) => one.index === index)?.name ?? text;
    return (index) => {
      const others = texts.filter((one) => one !== named(index));
      explainTarget(promptText({ text: named(index), other: "", among: others.join(", ") }));
    };
  }
  const place = /^(box|word) \d+/.exec(spec)?.[0];
  return place ? (index) => explainTarget(`${place}: ${labels[index] ?? index}`) : null;
}

/** A mask by rows. */
export class Mask {
  constructor(
    readonly width: number,
    readonly height: number,
    private readonly bytes: Uint8Array,
  ) {}

  at(x: number, y: number): boolean {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return false;
    const index = y * this.width + x;
    return ((this.bytes[index >> 3]! >> (7 - (index & 7))) & 1) === 1;
  }
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

export function shapesOf({ targets, size: [width, height] }: Pick<Targets, "targets" | "size">): Shape[] {
  return targets.flatMap((target): Shape[] => {
    if (target.mask) {
      const bytes = Uint8Array.from(atob(target.mask.bits), (letter) => letter.charCodeAt(0));
      const mask = new Mask(target.mask.width, target.mask.height, bytes);
      const [left, top, right, bottom] = boundsOf(mask);
      const [sx, sy] = [width / mask.width, height / mask.height];
      return [{ target, rect: [left * sx, top * sy, right * sx, bottom * sy], mask, outline: outlineOf(mask) }];
    }
    const place = target.box ?? (target.point && [...target.point, ...target.point]);
    return place ? [{ target, rect: place as Rect, mask: null, outline: "" }] : [];
  });
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
  return hit.sort((a, b) => area(a) - area(b))[0] ?? null;
}

function boundsOf(mask: Mask): Rect {
  let [left, top, right, bottom] = [mask.width, mask.height, 0, 0];
  for (let y = 0; y < mask.height; y++)
    for (let x = 0; x < mask.width; x++)
      if (mask.at(x, y))
        [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
  return right > left ? [left, top, right, bottom] : [0, 0, mask.width, mask.height];
}

/** The edges between cells inside and outside, as the path of an SVG. */
export function outlineOf(mask: Pick<Mask, "width" | "height" | "at">): string {
  const parts: string[] = [];
  const runs = (lines: number, length: number, edge: (line: number, i: number) => boolean, path: (line: number, from: number, to: number) => string): void => {
    for (let line = 0; line <= lines; line++)
      for (let i = 0, from = -1; i <= length; i++) {
        const on = i < length && edge(line, i);
        if (on && from < 0) from = i;
        if (!on && from >= 0) {
          parts.push(path(line, from, i));
          from = -1;
        }
      }
  };
  runs(mask.height, mask.width, (y, x) => mask.at(x, y - 1) !== mask.at(x, y), (y, from, to) => `M${from} ${y}H${to}`);
  runs(mask.width, mask.height, (x, y) => mask.at(x - 1, y) !== mask.at(x, y), (x, from, to) => `M${x} ${from}V${to}`);
  return parts.join("");
}
