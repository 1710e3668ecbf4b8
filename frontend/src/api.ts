// The server's questions and answers. Types come from its OpenAPI description (npm run types).

import type { components } from "./schema";

type Schemas = components["schemas"];
export type Start = Schemas["Start"];
export type ModelChoice = Schemas["ModelChoice"];
export type MethodChoice = Schemas["MethodChoice"];
export type PictureInfo = Schemas["PictureInfo"];
export type Samples = Schemas["Samples"];
export type Question = Partial<Schemas["Question"]>;
export type Answer = Schemas["Answer"];
export type Explained = Schemas["Explained"];
export type Packed = Schemas["Packed"];
export type Place = Schemas["Place"];
export type Guess = Schemas["Guess"];
export type Doubt = Partial<Schemas["Doubt"]> & { picture: string };
export type Heat = Schemas["DoubtedMap"];
export type Stand = Schemas["Stand"];
export type Verdict = Schemas["Verdict"];
export type Like = Schemas["AlikeMap"];
export type Curves = Schemas["WalkCurves"];
export type CurveLine = Schemas["CurveLine"];
export type Walked = Schemas["Walked"];
export type Covered = Schemas["Covered"];
export type Varied = Schemas["Varied"];

/** An error with a sentence for people. */
export class Failed extends Error {
  constructor(
    readonly kind: string,
    detail: string,
    readonly status: number,
  ) {
    super(detail);
  }
}

/** Whether an error only says that nobody wanted the answer any more. */
export const wasStopped = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";

const TRIES = 3;

async function ask(path: string, how: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    let answer: Response;
    try {
      answer = await fetch(path, how);
    } catch (error) {
      if (wasStopped(error)) throw error;
      throw new Failed("Offline", "The server does not answer. Is `camlucida app` still running?", 0);
    }
    if (answer.ok) return answer;
    if (answer.status === 503 && attempt < TRIES) {
      await pause(700 * attempt, how.signal ?? undefined);
      continue;
    }
    throw await failure(answer);
  }
}

async function failure(answer: Response): Promise<Failed> {
  try {
    const told = (await answer.json()) as { kind?: string; detail?: string };
    return new Failed(told.kind ?? "Fault", told.detail ?? answer.statusText, answer.status);
  } catch {
    return new Failed("Fault", `The server answered ${answer.status} ${answer.statusText}.`, answer.status);
  }
}

function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done, stop) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      stop(new DOMException("stopped", "AbortError"));
    });
  });
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask(path, { signal: signal ?? null })).json() as Promise<T>;
}

export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return (await ask(path, asJson(body, signal))).json() as Promise<T>;
}

export async function give(file: Blob, signal?: AbortSignal): Promise<PictureInfo> {
  const how = { method: "POST", body: file, headers: { "content-type": "application/octet-stream" } };
  const name = file instanceof File && file.name ? `?name=${encodeURIComponent(file.name.slice(-80))}` : "";
  return (await ask(`/api/pictures${name}`, { ...how, signal: signal ?? null })).json() as Promise<PictureInfo>;
}

/** A file that the server makes. */
export async function made(path: string, body: unknown, signal?: AbortSignal): Promise<Blob> {
  return (await ask(path, asJson(body, signal, "*/*"))).blob();
}

function asJson(body: unknown, signal?: AbortSignal, accept = "application/json"): RequestInit {
  const headers = { "content-type": "application/json", accept };
  return { method: "POST", body: JSON.stringify(body), headers, signal: signal ?? null };
}

export interface Hears {
  progress?: (done: number, total: number) => void;
  /** Everything else that comes before the result. */
  event?: (name: string, content: unknown) => void;
}

const STREAM = "text/event-stream";

/**
 * Ask something that takes long: hear how far it is, get the result at the end. Aborting stops the work, too.
 * Without a body it is a GET.
 */
export async function stream<T>(path: string, body: unknown, hears: Hears, signal?: AbortSignal): Promise<T> {
  const how = body === undefined ? { headers: { accept: STREAM }, signal: signal ?? null } : asJson(body, signal, STREAM);
  const answer = await ask(path, how);
  if (!answer.body) throw new Failed("Fault", "The server sent nothing.", 0);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Failed("Offline", "The server stopped in the middle of its answer.", 0);
    waiting += value;
    const parts = waiting.split("\n\n");
    waiting = parts.pop() ?? "";
    for (const part of parts) {
      const name = /^event: (.*)$/m.exec(part)?.[1];
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (name === undefined || data === undefined) continue;
      const content: unknown = JSON.parse(data);
      if (name === "result") return content as T;
      if (name === "error") {
        const told = content as { kind: string; detail: string };
        throw new Failed(told.kind, told.detail, 200);
      }
      if (name === "progress") {
        const { done: steps, total } = content as { done: number; total: number };
        hears.progress?.(steps, total);
      } else hears.event?.(name, content);
    }
  }
}

const answers = new Map<string, Promise<Answer>>();
const KEPT = 200;

/** Explain; what was asked before is not asked again. Only hear progress or stop what nobody else may want. */
export function explain(question: Question, hears?: Hears, signal?: AbortSignal): Promise<Answer> {
  const key = JSON.stringify(question);
  const known = answers.get(key);
  if (known) return known;
  const asked = hears
    ? stream<Answer>("/api/explain", question, hears, signal)
    : post<Answer>("/api/explain", question, signal);
  answers.set(key, asked);
  asked.catch(() => answers.delete(key));
  if (answers.size > KEPT) answers.delete(answers.keys().next().value as string);
  return asked;
}

/** Where the server shows a picture. */
export const pictureUrl = (id: string, longest = 1024): string => `/api/pictures/${id}?longest=${longest}`;

const images = new Map<string, Promise<HTMLImageElement>>();

/** A picture, decoded. */
export function picture(id: string, longest = 1024): Promise<HTMLImageElement> {
  const url = pictureUrl(id, longest);
  const known = images.get(url);
  if (known) return known;
  const image = new Image();
  image.src = url;
  const loaded = image.decode().then(
    () => image,
    () => {
      images.delete(url);
      throw new Failed("ImageError", "The picture cannot be shown (any more). Choose it or drop it again.", 0);
    },
  );
  images.set(url, loaded);
  if (images.size > KEPT) images.delete(images.keys().next().value as string);
  return loaded;
}
