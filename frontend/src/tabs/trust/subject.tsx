// The tested map, tests of it that take long, and how a change of the image changes the classes.

import { useRef, useState } from "preact/hooks";
import { explain } from "../../api/explain";
import { decodeImage, loadImage } from "../../api/images";
import { type Listener, stream } from "../../api/stream";
import type { ExplainResponse, MapOut, Schemas } from "../../api/types";
import { Field } from "../../maps/field";
import { duration, percent } from "../../numbers";
import { Pending } from "../../shared/pending";
import { ProgressBar } from "../../shared/progress_bar";
import { type RequestState, useRequest } from "../../shared/use_request";
import { isLayered, mapsOneLayer, methodNamed, methodOfView, questionOf } from "../../state/app";
import { view } from "../../state/view";

export type MapRequest = Partial<Schemas["MapRequest"]> & { image: string };

export interface Subject {
  /** The fields that every request of this tab contains. */
  request: MapRequest;
  key: string;
  image: HTMLImageElement;
  answer: ExplainResponse;
  map: MapOut;
  field: Field;
  /** Whether the method runs the network so often that nobody should wait for it unasked. */
  slow: boolean;
}

/** The tested map as the API takes it; subscribes to the view. */
export function requestOfView(): MapRequest {
  const { image, model, layer, target } = view;
  const method = methodOfView();
  const made: MapRequest = { image: image.value, model: model.value, ...questionOf(), method };
  if (layer.value && isLayered(method)) made.layer = layer.value;
  if (target.value) made.target = target.value;
  return made;
}

export async function fetchSubject(request: MapRequest): Promise<Subject> {
  const { layer, target, ...given } = request;
  const method = given.method!;
  delete given.method;
  const layers = mapsOneLayer(method) && layer ? [layer] : [];
  const body = { ...given, methods: [method], layers, targets: target ? [target] : [], score: "logit" as const };
  const [image, answer] = await Promise.all([loadImage(request.image), explain(body)]);
  const map = answer.maps[0]!;
  const known = methodNamed(method);
  const slow = known ? !known.quick : answer.seconds > 1;
  return { request, key: JSON.stringify(request), image, answer, map, field: Field.of(map, answer.geometry), slow };
}

/** A result with the images in it, decoded; until those of the next result are, it is the one before. */
export function useDecoded<T>(result: T | null, urls: (result: T) => string[]): { found: T; images: HTMLImageElement[] } | null {
  const last = useRef<{ found: T; images: HTMLImageElement[] } | null>(null);
  const key = result && urls(result).join(" ");
  const request = useRequest(key, () => Promise.all(urls(result!).map(decodeImage)));
  if (result && request.key === key && last.current?.found !== result) last.current = { found: result, images: request.data! };
  return last.current;
}

/** Seconds that a test may take without being asked for. */
const UNASKED_S = 8;

interface Test<T> extends RequestState<T> {
  seconds: number;
  waits: boolean;
  start: () => void;
}

/** A test that takes long: it starts by itself where it is quick, else it waits for a button. */
export function useTest<T>(path: string, subject: Subject, seconds: number, event?: Listener["event"]): Test<T> {
  const [started, setStarted] = useState(seconds <= UNASKED_S);
  const run = (signal: AbortSignal, listener: Listener) => stream<T>(path, subject.request, listener, signal);
  const state = useRequest<T>(started ? subject.key : null, run, event);
  return { ...state, seconds, waits: !started, start: () => setStarted(true) };
}

/** The button that starts a test, its progress, or why it failed. */
export function TestControl<T>({ test, doing, button, what }: { test: Test<T>; doing: string; button: string; what: string }) {
  return (
    <>
      {test.waits && (
        <div class="start">
          <p>{`${what}, about ${duration(test.seconds)} here.`}</p>
          <button class="main" onClick={test.start}>{button}</button>
        </div>
      )}
      <div class="task">
        {test.busy && <ProgressBar what={doing} progress={test.progress} stop={test.stop} />}
        <Pending requests={[test]} />
      </div>
    </>
  );
}

type ClassChange = Schemas["ClassChange"];
const MAX_SHOWN = 6;

export function ClassChanges({ classes, target }: { classes: readonly ClassChange[]; target: number }) {
  const bar = (kind: string, value: number) => <span class={kind} style={{ width: `${Math.max(0.3, 100 * value)}%` }} />;
  return (
    <ul class="stands" aria-label="Probability of the classes, before and after">
      {classes.slice(0, MAX_SHOWN).map(({ index, name, before, after }) => {
        const arrow = Math.abs(after - before) < 0.005 ? "→" : after > before ? "↑" : "↓";
        return (
          <li key={index} class={index === target ? "target" : ""}>
            <span class="name">{name}</span>
            <span class="number">
              {`${percent(before)} ${arrow} `}
              <b>{percent(after)}</b>
            </span>
            <span class="track" aria-hidden="true">
              {bar("before", before)}
              {bar("after", after)}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

/** "cat 97 % → 12 %". */
export const changeText = ({ name, before, after }: ClassChange): string => `${name} ${percent(before)} → ${percent(after)}`;

/** A sentence that is read out when it changes. */
export const Outcome = ({ text }: { text: string }) => (
  <p class="outcome" aria-live="polite">{text.replaceAll(" %", "\u00a0%")}</p>
);
