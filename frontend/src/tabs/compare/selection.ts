// What is compared, as the view has it.

import type { Option } from "../../shared/controls";
import { app, mapsOneLayer, modelOf, questionOf } from "../../state/app";
import { setTabValues, tabValue, view } from "../../state/view";
import { isPrompt } from "../explain/target_text";
import { kindOf, type Targets } from "../explain/targets";

/** The request of the view. */
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
/** Maps of one request. */
export const MAX_MAPS = 144;

/** Whether a class is named by its rank in the prediction. */
export const isRank = (target: string | null | undefined): boolean => RANKS.some((one) => one.value === target);

const or = (values: string[], usual: string[]): string[] => (values.length ? values : usual);

export function modelsOfView(): string[] {
  const known = splitList(tabValue("compare.models")).filter((name) => app.start.models.some((one) => one.name === name));
  return or(known, [modelOf().name]);
}

/** The default method of a model, and others that run without layers as well where it has none. */
function usualMethods(model: string): string[] {
  const { method, layers } = modelOf(model);
  const runs = (name: string): boolean => app.start.methods.some((one) => one.name === name && (layers.length > 0 || !one.layered));
  return [method, ...METHODS.filter((name) => name !== method && runs(name))].slice(0, METHODS.length);
}

/** What is compared unless targets are selected: two classes, or the first boxes, regions or words of the image. */
function usualTargets(model: string, targets: Targets | null): string[] {
  const kind = kindOf(targets, modelOf(model));
  if (!kind) return TARGETS;
  if (kind === "image-text") return isPrompt(view.target.value) ? [view.target.value] : [];
  return (targets?.targets ?? []).map((one) => one.spec).filter(Boolean).slice(0, N_USUAL);
}

/** The selection; `targets` are those of the first model in the image. */
export function selectionOfView(targets: Targets | null): Selection {
  const models = modelsOfView();
  const asks = models.find((name) => questionOf(name).question);
  return {
    image: view.image.value,
    models,
    ...questionOf(asks ?? models[0]),
    methods: or(splitList(tabValue("compare.methods")), usualMethods(models[0]!)),
    layers: splitList(tabValue("compare.layers")),
    targets: or(splitList(tabValue("compare.targets")), usualTargets(models[0]!, targets)),
    score: view.score.value,
  };
}

/** Change a list; the default is not written to the address. */
export function setSelection(name: "models" | "methods" | "layers" | "targets", values: readonly string[], targets: Targets | null): void {
  const [first] = modelsOfView() as [string];
  const usual = { models: [modelOf().name], methods: usualMethods(first), layers: [], targets: usualTargets(first, targets) }[name];
  // Targets belong to a model, and another first one has others.
  const other = name === "models" && values[0] !== first && (modelOf(first).image_targets || modelOf(values[0]).image_targets);
  const rest: Record<string, string> = other ? { "compare.targets": "" } : {};
  setTabValues({ [`compare.${name}`]: values.join("\n") === usual.join("\n") ? "" : joinList(values), ...rest }, true);
}

/** Stands for an escaped comma while a list is split. */
const ESCAPED = "\0";

/** The number of maps of a selection. */
export function countMaps(selection: Selection): number {
  const isFree = (method: string): boolean => app.start.methods.some((one) => one.name === method && one.class_free);
  const targets = selection.targets.flatMap((one) => (one === "top3" ? RANKS.map((rank) => rank.value) : [one]));
  const classes = new Set(targets).size;
  return selection.models.reduce((sum, name) => {
    const { layers } = modelOf(name);
    const have = selection.layers.filter((layer) => layers.some((one) => one.name === layer)).length || 1;
    const ofMethod = (method: string): number => (mapsOneLayer(method) ? have : 1) * (isFree(method) ? 1 : classes);
    return sum + selection.methods.reduce((maps, method) => maps + ofMethod(method), 0);
  }, 0);
}

/** A list for a link; commas of a target, such as "dog at 120,80", are escaped, except within parentheses. */
export const joinList = (values: readonly string[]): string =>
  values.map((value) => value.replace(/\([^]*\)|,/g, (part) => (part === "," ? "\\," : part))).join(",");

/** A list in a link; escaped commas, and those within parentheses, belong to an entry. */
export function splitList(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = "";
  for (const letter of text.replaceAll("\\,", ESCAPED)) {
    if (letter === "(") depth++;
    if (letter === ")") depth--;
    if (letter === "," && depth <= 0) {
      parts.push(part);
      part = "";
    } else part += letter;
  }
  parts.push(part);
  return [...new Set(parts.map((one) => one.replaceAll(ESCAPED, ",").trim()).filter(Boolean))];
}
