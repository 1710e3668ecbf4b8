// Maps: a request that was answered is not sent again.

import { Kept } from "../kept";
import { post } from "./http";
import { type Listener, stream } from "./stream";
import type { ExplainRequest, ExplainResponse } from "./types";

const answers = new Kept<Promise<ExplainResponse>>(200);

/** Explain an image. Only requests that nobody else may send have a listener or a signal. */
export function explain(body: ExplainRequest, listener?: Listener, signal?: AbortSignal): Promise<ExplainResponse> {
  const key = JSON.stringify(body);
  return answers.of(key, () => {
    const asked = listener
      ? stream<ExplainResponse>("/api/explain", body, listener, signal)
      : post<ExplainResponse>("/api/explain", body, signal);
    asked.catch(() => answers.delete(key));
    return asked;
  });
}
