// What the server offers, fetched once, and what every part of the page can say.

import { type Signal, signal } from "@preact/signals";
import { get, isAborted } from "../api/http";
import type { LayerOut, MethodChoice, MethodCost, ModelChoice, Start } from "../api/types";
import { Painter } from "../maps/painter";
import { view } from "./view";

/** Set once, before anything is rendered. */
export const app = {} as { start: Start; painter: Painter };

export function setStart(start: Start): void {
  app.start = start;
  app.painter = new Painter(start.palettes, start.palette, start.nan_colour as [number, number, number]);
}

/** A message for everybody, also for those who cannot see it; errors stay until the next message. */
export const message = signal<{ text: string; kind: "info" | "error" } | null>(null);
const MESSAGE_MS = 6000;
let timer = 0;

export function say(text: string, kind: "info" | "error" = "info"): void {
  clearTimeout(timer);
  message.value = text ? { text, kind } : null;
  if (text && kind === "info") timer = window.setTimeout(() => say(""), MESSAGE_MS);
}

/** Report a failure that has no place of its own; an aborted request is no failure. */
export const sayError = (error: unknown): void => void (isAborted(error) || say((error as Error).message, "error"));

/** A model of the app; that of the view by default. */
export const modelOf = (name = view.model.value): ModelChoice =>
  app.start.models.find((model) => model.name === name) ?? app.start.models[0]!;

export const methodOfView = (): string => view.method.value || modelOf().method;

/** What the view has of a method: nothing for the default one, so that another model has its own default. */
export const methodInView = (method: string): string => (method === modelOf().method ? "" : method);

/** The question of the view as a field of a request, for a model that answers one. */
export const questionOf = (name?: string): { question?: string } =>
  modelOf(name).image_targets === "question" && view.question.value ? { question: view.question.value } : {};

export const className = (index: number, model?: string): string => modelOf(model).labels[index] ?? `class ${index}`;

export const methodNamed = (name: string): MethodChoice | undefined => app.start.methods.find((one) => one.name === name);

/** Whether a method maps a layer; its name may have combinators: "refine(layer_cam)". */
export function isLayered(name: string): boolean {
  const inner = app.start.methods.filter((method) => new RegExp(`\\b${method.name}\\b`).test(name));
  return inner.length === 0 || inner.some((method) => method.layered);
}

/** Whether it maps one layer, and does not fuse several of them into one map. */
export const mapsOneLayer = (name: string): boolean => isLayered(name) && !/\b(refine|fuse_max|fuse_mean)\(/.test(name);

/** Whether a map takes only a few runs of the network; combined methods may take many. */
export const isQuick = (name: string): boolean => methodNamed(name)?.quick ?? false;

/** Whether a first map is displayed. What it does not need is requested afterwards: every request delays it. */
export const opened = signal(false);
const FIRST_MAP_MS = 800;
setTimeout(() => (opened.value = true), FIRST_MAP_MS); // not every view has a map

function afterOpening(run: () => unknown): void {
  const stop = opened.subscribe((now) => {
    if (now) queueMicrotask(() => (stop(), run()));
  });
}

/** A signal per model, fetched when it is first read; null until then. */
function perModel<T>(path: string, read: (answer: never) => T): (model?: string) => Signal<T | null> {
  const known = new Map<string, Signal<T | null>>();
  return (model = view.model.value) => {
    if (!known.has(model)) {
      const made = signal<T | null>(null);
      known.set(model, made);
      const fetched = (): Promise<unknown> =>
        get<never>(`${path}?model=${encodeURIComponent(model)}`).then(
          (answer) => (made.value = read(answer)),
          () => known.delete(model), // asked again when it is needed again
        );
      afterOpening(fetched);
    }
    return known.get(model)!;
  };
}

export const layersOf = perModel("/api/layers", (answer: { layers: LayerOut[] }) => answer.layers);
/** Which methods run on a model, and how long they take. */
export const methodCostsOf = perModel(
  "/api/methods",
  ({ methods }: { methods: MethodCost[] }) => new Map(methods.map((method) => [method.name, method])),
);
