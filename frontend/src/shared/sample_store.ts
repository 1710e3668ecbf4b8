// The images to choose from, the same for all tabs: samples by seed and filter, and uploads.

import { computed, effect, signal } from "@preact/signals";
import { get, isAborted, isOffline, online, upload } from "../api/http";
import { stream } from "../api/stream";
import type { ImageInfo, Samples } from "../api/types";
import { counted } from "../numbers";
import { say } from "../state/app";
import { selectImage, setTabValues, setView, tabValue, view } from "../state/view";

const MAX_BYTES = 25 << 20;
const N_SAMPLES = 20;
const MAX_FILES = 12;
const STORED = "uploads";

/** What samples are searched for; empty strings for any. `low` and `high` in percent. */
export interface Filter {
  label: string;
  prediction: string;
  low: string;
  high: string;
}

export const samples = signal<readonly ImageInfo[]>([]);
export const uploads = signal<readonly ImageInfo[]>(stored());
/** The result of the last search, as a sentence. */
export const searchNote = signal("");
/** How far a search is. */
export const search = signal<{ done: number; total: number } | null>(null);

export const filter = computed<Filter>(() => ({
  label: tabValue("samples.label"),
  prediction: tabValue("samples.prediction"),
  low: tabValue("samples.low"),
  high: tabValue("samples.high"),
}));
export const setFilter = (patch: Partial<Filter>): void =>
  setTabValues(Object.fromEntries(Object.entries(patch).map(([name, value]) => [`samples.${name}`, value])));

const query = computed(() => {
  const { label, prediction, low, high } = filter.value;
  const made = new URLSearchParams({ seed: String(view.seed.value), n: String(N_SAMPLES) });
  if (label) made.set("label", label);
  const evaluates = Boolean(prediction || low || high);
  if (evaluates) made.set("model", view.model.value);
  if (prediction) made.set("prediction", prediction);
  if (low) made.set("low", String(Number(low) / 100));
  if (high) made.set("high", String(Number(high) / 100));
  return JSON.stringify({ path: `/api/samples?${made}`, evaluates });
});

let running: AbortController | null = null;
let missing = false;

/** Fetch samples whenever the seed, the filter or the model change, and again after a lost connection. */
export function startSamples(): void {
  effect(() => void load(query.value));
  effect(() => {
    if (online.value && missing) void load(query.peek());
  });
}

export const stopSearch = (): void => running?.abort();

async function load(asked: string): Promise<void> {
  const { path, evaluates } = JSON.parse(asked) as { path: string; evaluates: boolean };
  running?.abort();
  const controller = (running = new AbortController());
  const wanted = (): boolean => running === controller;
  missing = false;
  try {
    const found = evaluates ? await evaluated(path, controller, wanted) : await get<Samples>(path, controller.signal);
    if (!wanted()) return;
    samples.value = found.items;
    searchNote.value = evaluates ? summary(found) : found.items.length ? "" : "No images match.";
  } catch (error) {
    if (!wanted()) return;
    missing = isOffline(error);
    searchNote.value = isAborted(error)
      ? `Stopped; ${counted(samples.peek().length, "image")} found.`
      : (error as Error).message;
  }
  running = search.value = null;
  const first = samples.peek().find((image) => !image.error);
  if (!view.image.peek() && first) setView({ image: first.id });
}

/** Search among predictions; matches are displayed as they are found. */
function evaluated(path: string, controller: AbortController, wanted: () => boolean): Promise<Samples> {
  samples.value = [];
  searchNote.value = "";
  search.value = { done: 0, total: 1 };
  const listener = {
    progress: (done: number, total: number) => void (wanted() && (search.value = { done, total })),
    event: (name: string, content: unknown) => {
      if (wanted() && name === "found") samples.value = [...samples.peek(), content as ImageInfo];
    },
  };
  return stream<Samples>(path, undefined, listener, controller.signal);
}

function summary(found: Samples): string {
  const unread = found.n_failed ? `; ${found.n_failed} could not be read` : "";
  const more = found.complete ? " No other images match." : found.items.length < N_SAMPLES ? " Shuffle to evaluate others." : "";
  const matches = counted(found.items.length, "match", "matches");
  return `${matches} among ${found.n_evaluated} evaluated images${unread}.${more}`;
}

/** What is known of an image. */
export const infoOf = (id: string): ImageInfo | undefined =>
  [...uploads.value, ...samples.value].find((image) => image.id === id);

/** Upload an image and select it. */
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
export async function uploadAll(files: readonly File[]): Promise<void> {
  for (const file of files.slice(0, MAX_FILES).reverse()) await uploadImage(file);
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
    const found: unknown = JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
    return Array.isArray(found) ? (found as ImageInfo[]).filter((image) => /^u[0-9a-f]+$/.test(image?.id)) : [];
  } catch {
    return [];
  }
}
