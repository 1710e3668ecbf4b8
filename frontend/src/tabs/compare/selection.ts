// What is compared, as the view has it.

import type { Option } from "../../shared/controls";
import { app, mapsOneLayer, methodNamed, modelOf, questionOf } from "../../state/app";
import { setTabValues, tabValue, view } from "../../state/view";
import { isPrompt } from "../explain/target_text";
import { kindOf, type Targets } from "../explain/targets";

export interface Selection {
  image: string;
  models: string[];
  question?: string;
  methods: string[];
  layers: string[];
  targets: string[];
  score: string;
}

const METHODS = ["grad_cam", "layer_cam", "hires_cam", "eigen_cam"];
const TARGETS = ["predicted", "runner-up"];
/** Boxes, regions or words that are compared unless others are selected. */
const N_USUAL = 2;
export const RANKS: Option[] = [...TARGETS, "third"].map((value) => ({ value, text: value, group: "rank in the prediction" }));
export const MAX_MAPS = 144;

/** Whether a class is named by its rank in the prediction. */
export const isRank = (target: string | null | undefined): boolean => RANKS.some((one) => one.value === target);

/** A list in the address, or what is usual. */
function listOf(name: string, usual: string[] = []): string[] {
  const values = splitList(tabValue(`compare.${name}`));
  return values.length ? values : usual;
}

export function modelsOfView(): string[] {
  const known = listOf("models").filter((name) => app.start.models.some((one) => one.name === name));
  return known.length ? known : [modelOf().name];
}

/** The default method of a model, and others that run without layers as well where it has none. */
function usualMethods(model: string): string[] {
  const { method, layers } = modelOf(model);
  const runs = (name: string): boolean => methodNamed(name) !== undefined && (layers.length > 0 || !methodNamed(name)!.layered);
  return [method, ...METHODS.filter((name) => name !== method && runs(name))].slice(0, METHODS.length);
}

/** What is compared unless targets are selected: two classes, or the first boxes, regions or words of the image. */
function usualTargets(model: string, targets: Targets | null): string[] {
  const kind = kindOf(targets, modelOf(model));
  if (!kind) return TARGETS;
  if (kind === "image-text") return [view.target.value].filter(isPrompt);
  return (targets?.targets ?? []).map((one) => one.spec).filter(Boolean).slice(0, N_USUAL);
}

/** The selection; `targets` are those of the first model in the image. */
export function selectionOfView(targets: Targets | null): Selection {
  const models = modelsOfView();
  const first = models[0]!;
  return {
    image: view.image.value,
    models,
    ...questionOf(models.find((name) => questionOf(name).question) ?? first),
    methods: listOf("methods", usualMethods(first)),
    layers: listOf("layers"),
    targets: listOf("targets", usualTargets(first, targets)),
    score: view.score.value,
  };
}

export type ListName = "models" | "methods" | "layers" | "targets";

/** Change a list; the default is not written to the address. */
export function setSelection(name: ListName, values: readonly string[], targets: Targets | null): void {
  const [first] = modelsOfView() as [string];
  const usual = { models: [modelOf().name], methods: usualMethods(first), layers: [], targets: usualTargets(first, targets) }[name];
  // Targets belong to a model, and another first one has others.
  const other = name === "models" && values[0] !== first && (modelOf(first).image_targets || modelOf(values[0]).image_targets);
  const text = values.join("\n") === usual.join("\n") ? "" : joinList(values);
  setTabValues({ [`compare.${name}`]: text, ...(other && { "compare.targets": "" }) }, true);
}

export function countMaps({ models, methods, layers, targets }: Selection): number {
  const classes = new Set(targets.flatMap((one) => (one === "top3" ? RANKS.map((rank) => rank.value) : [one]))).size;
  const counts = models.flatMap((name) => {
    const have = modelOf(name).layers.filter((one) => layers.includes(one.name)).length || 1;
    return methods.map((method) => (mapsOneLayer(method) ? have : 1) * (methodNamed(method)?.class_free ? 1 : classes));
  });
  return counts.reduce((sum, count) => sum + count, 0);
}

/** A list for a link; commas of a target, such as "dog at 120,80", are escaped, except within parentheses. */
export const joinList = (values: readonly string[]): string =>
  values.map((value) => value.replace(/\([^]*\)|,/g, (part) => (part === "," ? "\\," : part))).join(",");

/** A list in a link; escaped commas, and those within parentheses, belong to an entry. */
export function splitList(text: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const [letter] of text.matchAll(/\\,|[^]/g)) {
    if (letter === "(") depth++;
    if (letter === ")") depth--;
    if (letter === "," && depth <= 0) parts.push("");
    else parts.push(parts.pop() + (letter === "\\," ? "," : letter));
  }
  return [...new Set(parts.map((one) => one.trim()).filter(Boolean))];
}
