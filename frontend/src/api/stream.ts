// Long answers: how far they are, then the result.

import { asJson, ask, Failed, wasStopped } from "./ask";

export interface Hears {
  progress?: (done: number, total: number) => void;
  /** Everything else that comes before the result. */
  event?: (name: string, content: unknown) => void;
}

const CUT = { done: true, value: undefined } as const;
const STREAM = "text/event-stream";

/**
 * Ask something that takes long: hear how far it is, get the result at the end. Aborting stops the work, too.
 * Without a body it is a GET.
 */
export async function stream<T>(path: string, body: unknown, hears: Hears, signal?: AbortSignal): Promise<T> {
  const how = body === undefined ? { headers: { accept: STREAM }, signal: signal ?? null } : asJson(body, signal, STREAM);
  const answer = await ask(path, how);
  if (!answer.body) throw new Failed("Fault", "The server sent an empty response.", 0);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      if (wasStopped(error)) throw error;
      return CUT; // the connection broke
    });
    if (done) throw new Failed("Offline", "The connection was lost before the response was complete.", 0);
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
