// The maps of all layers for one request, fetched at once while nobody waits: moving to another layer needs no request.

import { explain } from "../../api/explain";
import { post } from "../../api/http";
import type { ExplainRequest, ExplainResponse } from "../../api/types";

const KEPT = 12;
const MAX_LAYERS = 64;

const cache = new Map<string, Map<string, ExplainResponse>>();
let running: AbortController | null = null;

const keyOf = (body: ExplainRequest): string => JSON.stringify({ ...body, layers: [] });

/** The map for the layer of a request, if it came with those of others. */
export const cachedLayer = (body: ExplainRequest): ExplainResponse | undefined =>
  cache.get(keyOf(body))?.get(String(body.layers?.[0] ?? ""));

export const hasAllLayers = (body: ExplainRequest): boolean => cache.has(keyOf(body));

/** From the cache, or with a request. */
export const explainCached: typeof explain = (body, listener, signal) => {
  const cached = cachedLayer(body);
  return cached ? Promise.resolve(cached) : explain(body, listener, signal);
};

/** Fetch all layers; whatever is being fetched for another request is given up. */
export async function fetchAllLayers(body: ExplainRequest, layers: readonly string[]): Promise<boolean> {
  const controller = begin();
  const names = layers.slice(0, MAX_LAYERS);
  try {
    const answer = await post<ExplainResponse>("/api/explain", { ...body, layers: names }, controller.signal);
    if (answer.maps.length !== names.length) return false; // two names of one layer
    const single = answer.maps.map((map, i): [string, ExplainResponse] => [names[i]!, { ...answer, maps: [map] }]);
    cache.set(keyOf(body), new Map(single));
    if (cache.size > KEPT) cache.delete(cache.keys().next().value as string);
    return true;
  } catch {
    return false; // each layer can still be requested, and then says what is wrong
  }
}

function begin(): AbortController {
  running?.abort();
  return (running = new AbortController());
}

export const stopFetching = (): void => running?.abort();
