// Maps: a request that was answered is not sent again.

import { post } from "./http";
import { type Listener, stream } from "./stream";
import type { ExplainRequest, ExplainResponse } from "./types";

const answers = new Map<string, Promise<ExplainResponse>>();
const KEPT = 200;

/** Explain an image. Only requests that nobody else may send have a listener or a signal. */
export function explain(body: ExplainRequest, listener?: Listener, signal?: AbortSignal): Promise<ExplainResponse> {
  const key = JSON.stringify(body);
  const known = answers.get(key);
  if (known) return known;
  const asked = listener
    ? stream<ExplainResponse>("/api/explain", body, listener, signal)
    : post<ExplainResponse>("/api/explain", body, signal);
  answers.set(key, asked);
  asked.catch(() => answers.delete(key));
  if (answers.size > KEPT) answers.delete(answers.keys().next().value as string);
  return asked;
}
