// Long responses: progress, parts of the result, then the result.

import { isAborted, jsonInit, request, RequestError } from "./http";

export interface Listener {
  progress?: (done: number, total: number) => void;
  /** Everything else that comes before the result. */
  event?: (name: string, content: unknown) => void;
}

const STREAM = "text/event-stream";
const LOST = new RequestError("Offline", "The connection was lost before the response was complete.", 0);

/** Send a request that takes long. Aborting it also stops the work. Without a body it is a GET. */
export async function stream<T>(path: string, body: unknown, listener: Listener, signal: AbortSignal | null = null): Promise<T> {
  const init = body === undefined ? { headers: { accept: STREAM }, signal } : jsonInit(body, signal, STREAM);
  const response = await request(path, init);
  if (!response.body) throw new RequestError("Fault", "The server sent an empty response.", 0);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw isAborted(error) ? error : LOST;
    });
    if (done) throw LOST;
    const parts = (waiting + value).split("\n\n");
    waiting = parts.pop()!;
    for (const part of parts) {
      const name = /^event: (.*)$/m.exec(part)?.[1];
      const data = /^data: (.*)$/m.exec(part)?.[1];
      if (name === undefined || data === undefined) continue;
      const content = JSON.parse(data);
      if (name === "result") return content as T;
      if (name === "error") throw new RequestError(content.kind, content.detail, 200);
      if (name === "progress") listener.progress?.(content.done, content.total);
      else listener.event?.(name, content);
    }
  }
}
