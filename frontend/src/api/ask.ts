// Asking the server, and what it says when that fails.

import type { PictureInfo } from "./types";

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
const SILENCE = "The server does not respond. Is `camlucida app` still running?";
let silent = false;
const returns = new Set<() => void>();

/** Called when the server answers again after it did not. */
export function heardAgain(run: () => void): void {
  returns.add(run);
}

/** What was asked, or its failure in words; a busy server is asked again. */
export async function ask(path: string, how: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    let answer: Response;
    try {
      answer = await fetch(path, how);
    } catch (error) {
      if (wasStopped(error)) throw error;
      silent = true;
      throw new Failed("Offline", SILENCE, 0);
    }
    if (silent) {
      silent = false;
      for (const run of returns) run();
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
    return new Failed("Fault", `The server returned status ${answer.status} ${answer.statusText}.`, answer.status);
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
  return (await ask(`/api/images${name}`, { ...how, signal: signal ?? null })).json() as Promise<PictureInfo>;
}

/** A file that the server makes. */
export async function made(path: string, body: unknown, signal?: AbortSignal): Promise<Blob> {
  return (await ask(path, asJson(body, signal, "*/*"))).blob();
}

/** A request with a body. */
export function asJson(body: unknown, signal?: AbortSignal, accept = "application/json"): RequestInit {
  const headers = { "content-type": "application/json", accept };
  return { method: "POST", body: JSON.stringify(body), headers, signal: signal ?? null };
}
