// What is on the screen, as a value; it stands in the address, so that a link restores it.

import type { Start } from "./api/types";

export interface View {
  tab: string;
  picture: string;
  model: string;
  method: string;
  /** Empty: the model's default. */
  layer: string;
  /** Empty: the predicted class; a class's index; "3 rather than 5"; "not 3". */
  target: string;
  score: string;
  seed: number;
  opacity: number;
  colormap: string;
  threshold: number;
  contour: number;
  blend: "saliency" | "uniform";
  /** What single tabs add, under names that begin with the tab's: "compare.methods". */
  more: Record<string, string>;
}

const USUAL: View = {
  tab: "look",
  picture: "",
  model: "",
  method: "grad_cam",
  layer: "",
  target: "",
  score: "logit",
  seed: 0,
  opacity: 0.5,
  colormap: "",
  threshold: 0,
  contour: 0,
  blend: "saliency",
  more: {},
};

/** What only paints a map otherwise. */
const PAINTING: readonly string[] = ["opacity", "colormap", "threshold", "contour", "blend"];

export const repaints = (changed: ReadonlySet<string>): boolean => PAINTING.some((key) => changed.has(key));
export const onlyRepaints = (changed: ReadonlySet<string>): boolean => [...changed].every((key) => PAINTING.includes(key));

/** A tab's own values in the address, under names that begin with its own. */
export class Own {
  constructor(
    private readonly store: Store,
    private readonly tab: string,
  ) {}

  get(name: string): string {
    return this.store.view.more[`${this.tab}.${name}`] ?? "";
  }

  /** Change some; null or nothing takes one out. With them, the rest of the view may change, too. */
  set(values: Record<string, string | null>, kept = false, rest: Partial<View> = {}): void {
    const more = { ...this.store.view.more };
    for (const [name, value] of Object.entries(values))
      if (value) more[`${this.tab}.${name}`] = value;
      else delete more[`${this.tab}.${name}`];
    this.store.set({ ...rest, more }, kept);
  }
}

/** The view, and who wants to know when it changes. */
export class Store {
  private now: View;
  private readonly listeners = new Set<(view: View, changed: ReadonlySet<string>) => void>();

  constructor(start: Start) {
    this.now = read(location.hash, start);
    window.addEventListener("hashchange", () => {
      if (location.hash !== written(this.now)) this.replace(read(location.hash, start));
    });
  }

  get view(): View {
    return this.now;
  }

  /** Change some of it; the address follows. Steps one may want to come back to are `kept` in the history. */
  set(patch: Partial<View>, kept = false): void {
    this.replace({ ...this.now, ...patch });
    const hash = written(this.now);
    if (hash === location.hash) return;
    if (kept) history.pushState(null, "", hash);
    else history.replaceState(null, "", hash);
  }

  /** The own values of a tab. */
  own(tab: string): Own {
    return new Own(this, tab);
  }

  /** Called after every change, with the names of what changed ("more" for the tabs' own). Returns how to stop it. */
  listen(run: (view: View, changed: ReadonlySet<string>) => void): () => void {
    this.listeners.add(run);
    return () => this.listeners.delete(run);
  }

  private replace(next: View): void {
    const before = this.now;
    this.now = next;
    const changed = new Set(
      (Object.keys(next) as (keyof View)[]).filter((key) =>
        key === "more" ? JSON.stringify(next.more) !== JSON.stringify(before.more) : next[key] !== before[key],
      ),
    );
    if (changed.size) for (const run of [...this.listeners]) run(next, changed);
  }
}

function read(hash: string, start: Start): View {
  const [tab, query = ""] = hash.replace(/^#/, "").split("?");
  const given = new URLSearchParams(query);
  const view: View = { ...USUAL, model: start.models[0]!.name, more: {} };
  if (tab) view.tab = tab;
  for (const [key, value] of given) {
    if (key.includes(".")) view.more[key] = value;
    else if (key === "blend") view.blend = value === "uniform" ? "uniform" : "saliency";
    else if (key in USUAL && key !== "more" && key !== "tab") {
      const field = key as "picture" | "seed";
      const usual = USUAL[field];
      if (typeof usual === "number") {
        view[field as "seed"] = inRange(key, Number(value), usual);
      } else view[field as "picture"] = value;
    }
  }
  if (!start.models.some((model) => model.name === view.model)) view.model = start.models[0]!.name;
  return view;
}

/** Links are written by hand, too: a share lies between 0 and 1, a seed is a whole number as the server takes it. */
function inRange(key: string, value: number, usual: number): number {
  if (!Number.isFinite(value)) return usual;
  return key === "seed" ? Math.round(Math.min(Math.max(value, 0), 2 ** 31 - 1)) : Math.min(Math.max(value, 0), 1);
}

function written(view: View): string {
  const query = new URLSearchParams();
  for (const key of Object.keys(USUAL) as (keyof View)[])
    if (key !== "tab" && key !== "more" && view[key] !== USUAL[key]) query.set(key, String(view[key]));
  for (const [key, value] of Object.entries(view.more)) query.set(key, value);
  const text = query.toString();
  return `#${view.tab}${text ? `?${text}` : ""}`;
}
