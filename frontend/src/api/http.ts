// Requests to the server, and what it says when one fails.

import { signal } from "@preact/signals";
import type { ImageInfo } from "./types";

/** A failure with a sentence for people. */
export class RequestError extends Error {
  constructor(
    readonly kind: string,
    detail: string,
    readonly status: number,
  ) {
    super(detail);
  }
}

/** Whether an error only says that the answer is not wanted any more. */
export const isAborted = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError";
export const isOffline = (error: unknown): boolean => error instanceof RequestError && error.kind === "Offline";

const ATTEMPTS = 3;
const PING_MS = 2000;
const UNREACHABLE = "The server does not respond. Is `camlucida app` still running?";

/** Whether the server answered the last request; while it does not, it is asked again and again. */
export const online = signal(true);

function setOffline(): void {
  if (!online.peek()) return;
  online.value = false;
  const timer = setInterval(() => {
    fetch("/", { method: "HEAD", cache: "no-store" }).then(
      () => {
        clearInterval(timer);
        online.value = true;
      },
      () => {},
    );
  }, PING_MS);
}

/** The response, or its failure as a sentence; a busy server is asked again. */
export async function request(path: string, init: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    let response: Response;
    try {
      response = await fetch(path, init);
    } catch (error) {
      if (isAborted(error)) throw error;
      setOffline();
      throw new RequestError("Offline", UNREACHABLE, 0);
    }
    if (response.ok) return response;
    if (response.status === 503 && attempt < ATTEMPTS) {
      await pause(700 * attempt, init.signal ?? undefined);
      continue;
    }
    throw await failure(response);
  }
}

async function failure(response: Response): Promise<RequestError> {
  try {
    const { kind, detail } = (await response.json()) as { kind?: string; detail?: string };
    return new RequestError(kind ?? "Fault", detail ?? response.statusText, response.status);
  } catch {
    const sentence = `The server returned status ${response.status} ${response.statusText}.`;
    return new RequestError("Fault", sentence, response.status);
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
  return (await request(path, { signal: signal ?? null })).json() as Promise<T>;
}

export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return (await request(path, jsonInit(body, signal))).json() as Promise<T>;
}

export async function upload(file: Blob, signal?: AbortSignal): Promise<ImageInfo> {
  const init = { method: "POST", body: file, headers: { "content-type": "application/octet-stream" } };
  const name = file instanceof File && file.name ? `?name=${encodeURIComponent(file.name.slice(-80))}` : "";
  return (await request(`/api/images${name}`, { ...init, signal: signal ?? null })).json() as Promise<ImageInfo>;
}

/** A file that the server makes. */
export async function postForFile(path: string, body: unknown, signal?: AbortSignal): Promise<Blob> {
  return (await request(path, jsonInit(body, signal, "*/*"))).blob();
}

/** A request with a body. */
export function jsonInit(body: unknown, signal?: AbortSignal, accept = "application/json"): RequestInit {
  const headers = { "content-type": "application/json", accept };
  return { method: "POST", body: JSON.stringify(body), headers, signal: signal ?? null };
}
