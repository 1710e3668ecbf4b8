// What is compared, as the view has it.

import type { Option } from "../../shared/controls";
import { app, mapsOneLayer, modelOf } from "../../state/app";
import { setTabValues, tabValue, view } from "../../state/view";

/** The request of the view. */
export interface Selection {
  image: string;
  models: string[];
  methods: string[];
  layers: string[];
  targets: string[];
  score: string;
}

const METHODS = ["grad_cam", "layer_cam", "hires_cam", "eigen_cam"];
const TARGETS = ["predicted", "runner-up"];
export const RANKS: Option[] = [...TARGETS, "third"].map((value) => ({ value, text: value, group: "rank in the prediction" }));
/** Maps of one request. */
export const MAX_MAPS = 144;

/** Whether a class is named by its rank in the prediction. */
export const isRank = (target: string | null | undefined): boolean => RANKS.some((one) => one.value === target);

export function selectionOfView(): Selection {
  const known = splitList(tabValue("compare.models")).filter((name) => app.start.models.some((one) => one.name === name));
  const or = (values: string[], usual: string[]): string[] => (values.length ? values : usual);
  const usual = METHODS.filter((name) => app.start.methods.some((one) => one.name === name));
  return {
    image: view.image.value,
    models: or(known, [modelOf().name]),
    methods: or(splitList(tabValue("compare.methods")), usual),
    layers: splitList(tabValue("compare.layers")),
    targets: or(splitList(tabValue("compare.targets")), TARGETS),
    score: view.score.value,
  };
}

/** Change a list; the default is not written to the address. */
export function setSelection(name: "models" | "methods" | "layers" | "targets", values: readonly string[]): void {
  const usual = { models: [modelOf().name], methods: METHODS, layers: [], targets: TARGETS }[name];
  setTabValues({ [`compare.${name}`]: values.join() === usual.join() ? "" : values.join(",") }, true);
}

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

/** A list in a link; commas within parentheses belong to a method. */
export function splitList(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = "";
  for (const letter of text) {
    if (letter === "(") depth++;
    if (letter === ")") depth--;
    if (letter === "," && depth <= 0) {
      parts.push(part);
      part = "";
    } else part += letter;
  }
  parts.push(part);
  return [...new Set(parts.map((one) => one.trim()).filter(Boolean))];
}
