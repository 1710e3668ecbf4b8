// The images to choose from, the same for all tabs: samples by seed and filter, and uploads.

import { computed, effect, signal } from "@preact/signals";
import { get, isAborted, isOffline, online, upload } from "../api/http";
import { stream } from "../api/stream";
import type { ImageInfo, Samples } from "../api/types";
import { counted } from "../numbers";
import { say } from "../state/app";
import { selectImage, setTabValues, setView, tabValue, view } from "../state/view";
import type { Progress } from "./use_request";

const MAX_BYTES = 25 << 20;
const N_SAMPLES = 20;
const MAX_FILES = 12;
const STORED = "uploads";

export const samples = signal<readonly ImageInfo[]>([]);
export const uploads = signal<readonly ImageInfo[]>(stored());
export const searchNote = signal("");
export const search = signal<Progress | null>(null);

/** What samples are searched for; empty strings for any. `low` and `high` in percent. */
const NO_FILTER = { label: "", prediction: "", low: "", high: "" };
export type Filter = typeof NO_FILTER;
const FILTERS = Object.keys(NO_FILTER) as (keyof Filter)[];

export const filter = computed(() => Object.fromEntries(FILTERS.map((name) => [name, tabValue(`samples.${name}`)])) as Filter);
export const setFilter = (patch: Partial<Filter> = NO_FILTER): void =>
  setTabValues(Object.fromEntries(Object.entries(patch).map(([name, value]) => [`samples.${name}`, value])));

/** The path of the request for samples; with a model if its predictions count. */
const path = computed(() => {
  const { label, prediction, low, high } = filter.value;
  const model = prediction || low || high ? view.model.value : "";
  const fraction = (percent: string): string => percent && String(Number(percent) / 100);
  const all = { seed: String(view.seed.value), n: String(N_SAMPLES), label, model, prediction, low: fraction(low), high: fraction(high) };
  return `/api/samples?${new URLSearchParams(Object.entries(all).filter(([, value]) => value))}`;
});

let running: AbortController | null = null;
let missing = false;

/** Fetch samples whenever the seed, the filter or the model change, and again after a lost connection. */
export function startSamples(): void {
  effect(() => void load(path.value));
  effect(() => {
    if (online.value && missing) void load(path.peek());
  });
}

export const stopSearch = (): void => running?.abort();

async function load(from: string): Promise<void> {
  running?.abort();
  const controller = (running = new AbortController());
  const wanted = (): boolean => running === controller;
  const evaluates = from.includes("&model=");
  missing = false;
  try {
    const found = await (evaluates ? evaluated(from, controller.signal, wanted) : get<Samples>(from, controller.signal));
    if (!wanted()) return;
    samples.value = found.items;
    searchNote.value = evaluates ? summary(found) : found.items.length ? "" : "No images match.";
  } catch (error) {
    if (!wanted()) return;
    missing = isOffline(error);
    searchNote.value = isAborted(error) ? `Stopped; ${counted(samples.peek().length, "image")} found.` : (error as Error).message;
  }
  running = search.value = null;
  const first = samples.peek().find((image) => !image.error);
  if (!view.image.peek() && first) setView({ image: first.id });
}

/** Search among predictions; matches are displayed as they are found. */
function evaluated(from: string, stop: AbortSignal, wanted: () => boolean): Promise<Samples> {
  samples.value = [];
  searchNote.value = "";
  search.value = { done: 0, total: 1 };
  const listener = {
    progress: (done: number, total: number) => void (wanted() && (search.value = { done, total })),
    event: (name: string, content: unknown) => {
      if (wanted() && name === "found") samples.value = [...samples.peek(), content as ImageInfo];
    },
  };
  return stream<Samples>(from, undefined, listener, stop);
}

function summary({ items, complete, n_failed, n_evaluated }: Samples): string {
  const unread = n_failed ? `; ${n_failed} could not be read` : "";
  const more = complete ? " No other images match." : items.length < N_SAMPLES ? " Shuffle to evaluate others." : "";
  return `${counted(items.length, "match", "matches")} among ${n_evaluated} evaluated images${unread}.${more}`;
}

export const infoOf = (id: string): ImageInfo | undefined => [...uploads.value, ...samples.value].find((image) => image.id === id);

export async function uploadImage(file: Blob): Promise<void> {
  if (file.size > MAX_BYTES)
    return say(`The file has ${(file.size / 1e6).toFixed(0)} MB; the limit is 25 MB. Select a smaller image.`, "error");
  say("Uploading …");
  try {
    const image = await upload(file);
    setUploads([image, ...uploads.peek().filter((other) => other.id !== image.id)]);
    say("");
    selectImage(image.id);
  } catch (error) {
    const name = file instanceof File && file.name ? `${file.name}: ` : "";
    say(`${name}${(error as Error).message}`, "error");
  }
}

/** Several files, one after the other; the first one is selected at the end. */
export async function uploadAll(files: Iterable<File>): Promise<void> {
  for (const file of [...files].slice(0, MAX_FILES).reverse()) await uploadImage(file);
}

/** The server no longer has an upload. */
export const forgetUpload = (id: string): void => setUploads(uploads.peek().filter((image) => image.id !== id));

function setUploads(list: readonly ImageInfo[]): void {
  uploads.value = list;
  sessionStorage.setItem(STORED, JSON.stringify(list));
}

/** The uploads of this browser tab, so that a reload keeps them. */
function stored(): ImageInfo[] {
  try {
    return (JSON.parse(sessionStorage.getItem(STORED) ?? "[]") as ImageInfo[]).filter((image) => /^u[0-9a-f]+$/.test(image.id));
  } catch {
    return [];
  }
}
