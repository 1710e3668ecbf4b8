// Requests to the server, and what it says when one fails.

import { signal as state } from "@preact/signals";
import type { ImageInfo } from "./types";

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
const PAUSE_MS = 700;
const PING_MS = 2000;
const UNREACHABLE = "The server does not respond. Is `camlucida app` still running?";

/** Whether the server answered the last request; while it does not, it is asked again and again. */
export const online = state(true);

function setOffline(): void {
  if (!online.peek()) return;
  online.value = false;
  const answered = (): void => {
    clearInterval(timer);
    online.value = true;
  };
  const timer = setInterval(() => fetch("/", { method: "HEAD", cache: "no-store" }).then(answered, () => {}), PING_MS);
}

/** The response, or its failure as a sentence; a busy server is asked again. */
export async function request(path: string, init: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(path, init).catch((error: unknown) => {
      if (isAborted(error)) throw error;
      setOffline();
      throw new RequestError("Offline", UNREACHABLE, 0);
    });
    if (response.ok) return response;
    if (response.status !== 503 || attempt === ATTEMPTS) throw await failure(response);
    await new Promise((done) => setTimeout(done, PAUSE_MS * attempt));
    init.signal?.throwIfAborted();
  }
}

async function failure(response: Response): Promise<RequestError> {
  const { status, statusText } = response;
  const sentence = `The server returned status ${status} ${statusText}.`;
  const { kind = "Fault", detail = sentence } = (await response.json().catch(() => ({}))) as { kind?: string; detail?: string };
  return new RequestError(kind, detail, status);
}

export function jsonInit(body: unknown, signal: AbortSignal | null = null, accept = "application/json"): RequestInit {
  return { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", accept }, signal };
}

export const get = async <T>(path: string, signal: AbortSignal | null = null): Promise<T> => (await request(path, { signal })).json();

export const post = async <T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> =>
  (await request(path, jsonInit(body, signal))).json();

export const postForFile = async (path: string, body: unknown, signal?: AbortSignal): Promise<Blob> =>
  (await request(path, jsonInit(body, signal, "*/*"))).blob();

export async function upload(file: Blob): Promise<ImageInfo> {
  const name = file instanceof File && file.name ? `?name=${encodeURIComponent(file.name.slice(-80))}` : "";
  const headers = { "content-type": "application/octet-stream" };
  return (await request(`/api/images${name}`, { method: "POST", body: file, headers })).json();
}
