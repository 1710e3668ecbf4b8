// What is to be compared, as the view asks for it.

import { mapsOneLayer } from "../../methods";
import { modelOf, type Page } from "../../page";
import type { Option } from "../../parts/controls";

/** The question that the view asks. */
export interface Wish {
  image: string;
  models: string[];
  methods: string[];
  layers: string[];
  targets: string[];
  score: string;
}

export const METHODS = ["grad_cam", "layer_cam", "hires_cam", "eigen_cam"];
export const TARGETS = ["predicted", "runner-up"];
export const RANKS: Option[] = [...TARGETS, "third"].map((value) => ({ value, text: value, group: "rank in the prediction" }));

/** Whether a class is named by its place in the prediction. */
export const isRank = (target: string | null | undefined): boolean => RANKS.some((one) => one.value === target);

export function wishOf(page: Page): Wish {
  const { view } = page.store;
  const own = page.store.own("compare");
  const known = listed(own.get("models")).filter((name) => page.start.models.some((one) => one.name === name));
  const or = (values: string[], usual: string[]): string[] => (values.length ? values : usual);
  const usual = METHODS.filter((name) => page.start.methods.some((one) => one.name === name));
  return {
    image: view.image,
    models: or(known, [modelOf(page).name]),
    methods: or(listed(own.get("methods")), usual),
    layers: listed(own.get("layers")),
    targets: or(listed(own.get("targets")), TARGETS),
    score: view.score,
  };
}

/** How many maps that would be. */
export function count(page: Page, wish: Wish): number {
  const free = (method: string): boolean => page.start.methods.some((one) => one.name === method && one.class_free);
  const all = wish.targets.flatMap((one) => (one === "top3" ? RANKS.map((rank) => rank.value) : [one]));
  const classes = new Set(all).size;
  return wish.models.reduce((sum, name) => {
    const { layers } = modelOf(page, name);
    const have = wish.layers.filter((layer) => layers.some((one) => one.name === layer)).length || 1;
    const places = (method: string): number => (mapsOneLayer(page, method) ? have : 1) * (free(method) ? 1 : classes);
    return sum + wish.methods.reduce((maps, method) => maps + places(method), 0);
  }, 0);
}

/** A list as it stands in a link: commas inside brackets belong to a method. */
export function listed(text: string | undefined): string[] {
  const made: string[] = [];
  let depth = 0;
  let part = "";
  for (const letter of text ?? "") {
    if (letter === "(") depth++;
    if (letter === ")") depth--;
    if (letter === "," && depth <= 0) {
      made.push(part);
      part = "";
    } else part += letter;
  }
  made.push(part);
  return [...new Set(made.map((one) => one.trim()).filter(Boolean))];
}
