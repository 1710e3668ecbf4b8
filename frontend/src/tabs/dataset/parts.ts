// What the parts of the tab share: the server's answers, the tab's own values in the address, ways to other tabs.

import type { MethodChoice } from "../../api";
import type { Page } from "../../page";
import type { components } from "../../schema";

type Schemas = components["schemas"];
export type RunInfo = Schemas["RunInfo"];
export type RunList = Schemas["RunList"];
export type Kind = RunInfo["kinds"][number];
export type Points = Schemas["Points"];
export type Neighbours = Schemas["Neighbours"];
export type Overall = Schemas["Overall"];
export type Matrix = Schemas["MatrixOf"];
export type Said = Schemas["Said"];
export type SaidList = Schemas["SaidList"];
export type Evaluation = Schemas["EvaluationOf"];
export type Curves = Schemas["Curves"];
export type Range = Schemas["Range"];

/** One view of a run. */
export interface Part {
  name: string;
  title: string;
  /** Runs that have something for it. */
  kind: Kind;
  element: HTMLElement;
  /** It is in front, with this run; called again when anything in the address changes. */
  show(run: RunInfo): void;
  /** Stop what nobody watches. */
  hide(): void;
}

/** One of the tab's own values in the address. */
export const own = (page: Page, name: string): string => page.store.view.more[`dataset.${name}`] ?? "";

/** Change some of them; null takes one out. */
export function put(page: Page, values: Record<string, string | null>, kept = true): void {
  const more = { ...page.store.view.more };
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === "") delete more[`dataset.${name}`];
    else more[`dataset.${name}`] = value;
  }
  page.store.set({ more }, kept);
}

/** What asks the server about a run. */
export function query(path: string, values: Record<string, string | number | boolean | null>): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== null) asked.set(name, String(value));
  return `/api/dataset/${path}?${asked}`;
}

/** Open a sample in another tab, with the run's model. */
export function open(page: Page, run: RunInfo, picture: string, tab: "look" | "doubt" = "look", target = ""): void {
  const model = run.asked ?? page.store.view.model;
  const same = model === page.store.view.model;
  page.store.set({ tab, picture, model, target, layer: same ? page.store.view.layer : "" }, true);
}

/** What makes the maps here: the view's method where it is quick and depends on the class, else Grad-CAM. */
export function methodOf(page: Page): string {
  const fits = (one: MethodChoice): boolean => one.quick && !one.class_free;
  const chosen = page.start.methods.find((one) => one.name === page.store.view.method);
  return chosen && fits(chosen) ? chosen.name : "grad_cam";
}

/** A number in three digits; a dash for what is not there. */
export function digits(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size >= 1000 ? value.toFixed(0) : size !== 0 && size < 0.001 ? value.toExponential(0) : value.toPrecision(3);
  return text.replace("-", "−");
}

export const counted = (count: number, thing: string): string => `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
export const share = (value: number | null): string => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);
