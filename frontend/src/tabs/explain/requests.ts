// The requests that the view stands for, the maps of all layers, and how strong a map is beside its reference.

import { explain } from "../../api/explain";
import { post } from "../../api/http";
import type { ExplainRequest, ExplainResponse } from "../../api/types";
import { Kept } from "../../kept";
import { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { useRequest } from "../../shared/use_request";
import { isQuick, mapsOneLayer, methodNamed, methodOfView, questionOf } from "../../state/app";
import { tabValue, view } from "../../state/view";
import { parseTarget, targetText } from "./target_text";

type Options = NonNullable<ExplainRequest["options"]>;

export function requestOfView(): ExplainRequest {
  const { image, model, layer, target, score } = view;
  const method = methodOfView();
  const options = optionsOfView();
  return {
    image: image.value,
    model: model.value,
    ...questionOf(),
    methods: [method],
    layers: mapsOneLayer(method) && layer.value ? [layer.value] : [],
    targets: target.value ? [target.value] : [],
    score: score.value as "logit",
    ...(Object.keys(options).length && { options }),
  };
}

/** Options of the method that are not the default; JSON in the address. Those of another method do not count. */
export function optionsOfView(): Options {
  const known = methodNamed(methodOfView())?.options;
  try {
    const found = Object.entries(JSON.parse(tabValue("explain.options") || "{}") as Options);
    return Object.fromEntries(found.filter(([name]) => !known || name in known));
  } catch {
    return {};
  }
}

const fields = new WeakMap<object, Field>();

/** The first map of a response, ready to be drawn; decoded once. */
export function fieldOf(answer: ExplainResponse): Field {
  const map = answer.maps[0]!;
  if (!fields.has(map)) fields.set(map, Field.of(map, answer.geometry));
  return fields.get(map)!;
}

const MAX_LAYERS = 64;

/** The maps of all layers for one request, fetched at once while nobody waits: moving to another layer needs no request. */
const layers = new Kept<Map<string, ExplainResponse>>(12);
let running: AbortController | null = null;

const keyOf = (body: ExplainRequest): string => JSON.stringify({ ...body, layers: [] });

export const hasAllLayers = (body: ExplainRequest): boolean => layers.has(keyOf(body));

/** The map for a request: one that came with those of other layers, or by a request of its own. */
export const explainCached: typeof explain = (body, listener, signal) => {
  const cached = layers.get(keyOf(body))?.get(String(body.layers?.[0] ?? ""));
  return cached ? Promise.resolve(cached) : explain(body, listener, signal);
};

/** Fetch all layers; whatever is being fetched for another request is given up. */
export async function fetchAllLayers(body: ExplainRequest, all: readonly string[]): Promise<boolean> {
  stopFetching();
  const { signal } = (running = new AbortController());
  const names = all.slice(0, MAX_LAYERS);
  try {
    const answer = await post<ExplainResponse>("/api/explain", { ...body, layers: names }, signal);
    if (answer.maps.length !== names.length) return false; // two names of one layer
    layers.set(keyOf(body), new Map(answer.maps.map((map, i) => [names[i]!, { ...answer, maps: [map] }])));
    return true;
  } catch {
    return false; // each layer can still be requested, and then says what is wrong
  }
}

export const stopFetching = (): void => running?.abort();

/** How strong a map is beside the one it stands next to: full colours do not say that. */
export interface Strength {
  /** The peak of the map, as a fraction of the peak of the reference. */
  ratio: number;
  reference: Field;
  /** The class of the reference map. */
  name: string;
  negative: boolean;
}

/** The target whose map a map is compared with: the positive evidence of the same class, or of the predicted one. */
export function referenceTarget(target: string): string | null {
  const parsed = parseTarget(target);
  if (!parsed || !target) return null;
  const { index, other, negative } = parsed;
  return negative || other !== null ? targetText({ index, other: null, negative: false }) : "";
}

/** The requests whose map is the reference of the map of a request; none where there is nothing to compare it with. */
export function referencesOf(body: ExplainRequest): ExplainRequest[] {
  const reference = referenceTarget(String(body.targets?.[0] ?? ""));
  return reference === null ? [] : [{ ...body, targets: reference ? [reference] : [] }];
}

/** The strength of the displayed map; null while it is unknown. `waiting`: the map of the request is not there yet. */
export function useStrength(body: ExplainRequest, answer: ExplainResponse | null, waiting: boolean): Strength | null {
  const [reference] = referencesOf(body);
  const asked = reference && answer && !waiting && isQuick(String(body.methods?.[0]));
  const { data } = useRequest(asked ? JSON.stringify(reference) : null, async () => ({ answer, other: await explainCached(reference!) }));
  const field = data && fieldOf(data.other);
  if (!answer || data?.answer !== answer || !field!.top || data.other.maps[0]!.layer !== answer.maps[0]!.layer) return null;
  const negative = parseTarget(view.target.value)?.negative ?? false;
  return { ratio: fieldOf(answer).top / field!.top, reference: field!, name: data.other.maps[0]!.target, negative };
}

/** "Negative evidence is 0.3 % as strong as the positive evidence for mug." */
export function strengthText({ ratio, name, negative }: Strength): string {
  const times = ratio >= 1.995 ? `${ratio.toFixed(ratio < 9.95 ? 1 : 0)} times` : ratio >= 1 ? `${Math.round(100 * ratio)} %` : percent(ratio);
  return negative
    ? `The negative evidence is ${times} as strong as the positive evidence for ${name}.`
    : `This map is ${times} as strong as the map for ${name}.`;
}
