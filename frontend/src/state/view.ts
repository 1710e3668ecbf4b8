// What is on the screen, as signals; it stands in the address, so that a link restores it.

import { batch, computed, type Signal, signal } from "@preact/signals";
import type { Start } from "../api/types";
import type { Look } from "../maps/painter";

export interface View extends Look {
  tab: string;
  image: string;
  model: string;
  /** The question to a model that answers questions. */
  question: string;
  /** Empty: the default method of the model. */
  method: string;
  /** Empty: the default layer of the model. */
  layer: string;
  /** Empty: the predicted class; the index of a class; "3 rather than 5"; "not 3". */
  target: string;
  /** 1: the target stays when the image changes. */
  pin: number;
  score: string;
  seed: number;
  /** Values of single tabs, under names that begin with the tab's: "compare.methods". */
  more: Record<string, string>;
}

const DEFAULTS: View = {
  tab: "explain",
  image: "",
  model: "",
  question: "",
  method: "",
  layer: "",
  target: "",
  pin: 0,
  score: "logit",
  seed: 0,
  opacity: 0.5,
  colormap: "",
  threshold: 0,
  contour: 0,
  blend: "saliency",
  more: {},
};
const KEYS = Object.keys(DEFAULTS) as (keyof View)[];
const RENAMED: Record<string, string> = { look: "explain", doubt: "trust", picture: "image" };

export const view = Object.fromEntries(KEYS.map((key) => [key, signal(DEFAULTS[key])])) as unknown as {
  readonly [K in keyof View]: Signal<View[K]>;
};

const LOOK = ["opacity", "colormap", "threshold", "contour", "blend"] as const;

export const mapStyle = computed(() => Object.fromEntries(LOOK.map((key) => [key, view[key].value])) as unknown as Look);

/** The view as one value, without a subscription to it. */
export const currentView = (): View => Object.fromEntries(KEYS.map((key) => [key, view[key].peek()])) as unknown as View;

const assign = (patch: Partial<View>): void =>
  batch(() => {
    for (const [key, value] of Object.entries(patch)) (view[key as keyof View] as Signal<unknown>).value = value;
  });

/** Milliseconds without a change after which it is written: browsers limit how often a page may change its address. */
const QUIET_MS = 300;
let timer = 0;

/** Change a part of the view; the address follows. `push`: the Back button of the browser returns to this step. */
export function setView(patch: Partial<View>, push = false): void {
  assign(patch);
  if (push) return writeAddress(true);
  clearTimeout(timer);
  timer = window.setTimeout(writeAddress, QUIET_MS);
}

/** Explain another image: its predicted class, unless the target is pinned, or a text, which belongs to no image. */
export function selectImage(id: string, push = true): void {
  const stays = view.pin.peek() || /^(not )?text:/.test(view.target.peek()) || id === view.image.peek();
  setView({ image: id, ...(!stays && { target: "" }) }, push);
}

/** A value of a tab in the address; subscribes to it. */
export const tabValue = (name: string): string => view.more.value[name] ?? "";

/** Change values of tabs, by full name; null or "" removes one. The rest of the view can change with them. */
export function setTabValues(values: Record<string, string | null>, push = false, rest: Partial<View> = {}): void {
  const before = view.more.peek();
  const more = Object.fromEntries(Object.entries({ ...before, ...values }).filter((entry): entry is [string, string] => Boolean(entry[1])));
  setView(JSON.stringify(more) === JSON.stringify(before) ? rest : { ...rest, more }, push);
}

export function writeAddress(push = false): void {
  clearTimeout(timer);
  const hash = addressOf(currentView());
  if (hash === location.hash) return;
  if (push) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
}

export function followAddress(start: Start): void {
  const read = (): void => {
    clearTimeout(timer);
    const next = viewOf(location.hash, start);
    if (JSON.stringify(next.more) === JSON.stringify(view.more.peek())) next.more = view.more.peek();
    assign(next);
  };
  read();
  const changed = (): void => void (location.hash !== addressOf(currentView()) && read());
  window.addEventListener("hashchange", changed);
  window.addEventListener("popstate", changed);
}

/** Read a view from an address; invalid values become the defaults. */
function viewOf(hash: string, start: Start): View {
  const [tab, query = ""] = hash.replace(/^#/, "").split("?");
  const made: Record<string, unknown> & View = { ...DEFAULTS, model: start.models[0]!.name, more: {} };
  if (tab) made.tab = RENAMED[tab] ?? tab;
  for (const [written, value] of new URLSearchParams(query)) {
    const [first, ...rest] = written.split(".");
    const key = [RENAMED[first!] ?? first!, ...rest].join(".");
    const usual = DEFAULTS[key as keyof View];
    if (rest.length) made.more[key] = value;
    else if (key === "blend") made.blend = value === "uniform" ? "uniform" : "saliency";
    else if (typeof usual === "number") made[key] = within(key, Number(value), usual);
    else if (typeof usual === "string" && key !== "tab") made[key] = value;
  }
  if (!start.models.some((model) => model.name === made.model)) made.model = start.models[0]!.name;
  return made;
}

/** Links are also written by hand: fractions lie between 0 and 1, a seed is an integer. */
function within(key: string, value: number, usual: number): number {
  if (!Number.isFinite(value)) return usual;
  const inside = Math.min(Math.max(value, 0), key === "seed" ? 2 ** 31 - 1 : 1);
  return key === "seed" || key === "pin" ? Math.round(inside) : inside;
}

function addressOf({ tab, more, ...now }: View): string {
  const changed = Object.entries(now).filter(([key, value]) => value !== DEFAULTS[key as keyof View]);
  const query = new URLSearchParams([...changed.map(([key, value]) => [key, String(value)]), ...Object.entries(more)]);
  return `#${tab}${query.size ? `?${query}` : ""}`;
}
