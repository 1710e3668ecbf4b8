// Explain: an image, its map, the map over it; for any class, method and layer.

import { effect, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { loadImage } from "../../api/images";
import type { ExplainRequest, ExplainResponse } from "../../api/types";
import { debounce } from "../../shared/debounce";
import { ErrorMessage } from "../../shared/error_message";
import { ImagePicker } from "../../shared/image_picker";
import { SIDE_PX } from "../../shared/map_view";
import { keptPixels, photoSize } from "../../shared/photo";
import { ProgressBar } from "../../shared/progress_bar";
import { Predictions } from "../../shared/predictions";
import { infoOf } from "../../shared/sample_store";
import { useRequest } from "../../shared/use_request";
import { isQuick, mapsOneLayer, methodOfView, modelOf, opened } from "../../state/app";
import { currentView, setView, type View, view } from "../../state/view";
import { ClassChoice, setTarget, targetOfView } from "./class_choice";
import { Downloads } from "./downloads";
import { explainCached, fetchAllLayers, hasAllLayers, stopFetching } from "./layer_cache";
import { LayerChoice } from "./layer_choice";
import { MethodChoice } from "./method_choice";
import { Headline, Notes } from "./notes";
import { requestOfView } from "./request";
import { Result } from "./result";
import { referenceTarget, useStrength } from "./strength";
import { neededText } from "./question_field";
import { TargetChoice } from "./target_choice";
import { isAt, isPrompt } from "./target_text";
import { classInTarget, explainTarget, kindOf, neededFirst, useShapes, useTargets } from "./targets";

/** Milliseconds without a change after which the other layers are fetched. */
const QUIET_MS = 150;

/** A map with the image and the view that it belongs to. */
export interface Explained {
  answer: ExplainResponse;
  image: HTMLImageElement;
  view: View;
  began: number;
}

export function Explain() {
  const root = useRef<HTMLDivElement>(null);
  const body = requestOfView();
  const image = view.image.value;
  const method = methodOfView();
  const needed = neededFirst();
  const request = useRequest<Explained>(image && !needed ? JSON.stringify(body) : null, async (signal, listener) => {
    const began = performance.now();
    const now = currentView();
    const asked = isQuick(method) ? explainCached(body) : explainCached(body, listener, signal);
    const [photo, answer] = await Promise.all([loadImage(image), asked]);
    return { answer, image: photo, view: now, began };
  });
  const { data, busy } = request;
  const error = needed ? null : request.error;
  const photo = useRequest<HTMLImageElement>(error || needed ? image : null, () => loadImage(image)); // without a map, the image alone
  useLayoutEffect(() => effect(requestAtOnce), []);
  // A map of another image stands there only while the next one is on its way.
  const shown = data && !needed && (busy || data.answer.image === image) ? data : null;
  const strength = useStrength(body, shown && !error ? shown.answer : null);
  const allLayers = useAllLayers(body, shown?.answer ?? null);

  useLayoutEffect(() => {
    if (!shown) return;
    opened.value = true;
    root.current!.dataset.waited = String(Math.round(performance.now() - shown.began));
    root.current!.dataset.seconds = String(shown.answer.seconds);
  }, [shown]);

  const shownId = shown?.answer.image ?? image;
  const name = infoOf(shownId)?.name ?? shown?.answer.name ?? "the image";
  const map = shown?.answer.maps[0];
  const predicted = shown?.answer.predictions[0]?.index ?? null;
  const target = targetOfView();
  const model = modelOf();
  const targets = useTargets();
  const shapes = useShapes(targets);
  // What the view stands for until its map arrives; without a target it is the first one.
  const spec = view.target.value || (targets?.targets[0]?.spec ?? "");
  const ofTarget = map?.spec ?? "";
  const changeClass = ofTarget
    ? classInTarget(ofTarget, model.labels, shown!.answer.predictions)
    : (index: number): void => setTarget({ index, other: null });
  // The same elements are not rendered again; what they read of the view renders them by itself.
  const picker = useMemo(() => <ImagePicker />, []);
  const kind = kindOf(targets);
  // Only these have classes of the whole image besides.
  const whole = kind === "detection" || kind === "segmentation";
  const noun = model.image_targets === "question" ? "answer" : "class";
  const answered = model.image_targets === "question" && targets !== null && !kind;
  const hasClasses = whole ? model.labels.length > 0 : answered || !model.image_targets;
  const classChoice = useMemo(
    () => <ClassChoice predicted={whole ? null : predicted} whole={whole} noun={noun} />,
    [predicted, whole, noun],
  );
  const methodChoice = useMemo(() => <MethodChoice />, []);
  const layerChoice = useMemo(() => <LayerChoice />, []);
  return (
    <div
      ref={root}
      class={`explain-tab ${error && shown ? "stale" : ""}`}
      aria-busy={busy || undefined}
      data-drawn={map ? `${shown!.answer.image} ${map.method} ${map.layer} ${map.target}` : undefined}
      data-stages={allLayers ?? undefined}
    >
      <aside class="decisions" aria-label="Settings">
        <section class="decision pictures">
          {picker}
        </section>
        {model.image_targets && <TargetChoice targets={targets} selected={spec} />}
        {hasClasses && classChoice}
        {methodChoice}
        {layerChoice}
      </aside>
      <div class="stage">
        {busy && request.progress && <ProgressBar what="Explaining" progress={request.progress} stop={request.stop} />}
        <ErrorMessage error={error} retry={request.retry}>
          {error && shown && <button onClick={() => back(shown.view)}>Back to the displayed map</button>}
        </ErrorMessage>
        <Result
          shown={shown}
          photo={photo.key === image ? photo.data : null}
          name={name}
          strength={strength}
          targets={
            targets && {
              shapes,
              size: targets.size as [number, number],
              spec: spec.startsWith("class:") ? spec : ofTarget, // "at 120,80" names no class, its map does
              isSelected: (one) => isAt(spec, one),
              choose: explainTarget,
            }
          }
          classes={targets ? (targets.classes ?? undefined) : kind === "segmentation" ? null : undefined}
        />
      </div>
      <aside class="predictions" aria-label="Result">
        <h3>{ofTarget ? placeText(ofTarget) : "Prediction"}</h3>
        {shown ? (
          <>
            <Headline answer={shown.answer} />
            <Predictions
              predictions={shown.answer.predictions}
              selected={ofTarget ? map!.index : (target.index ?? predicted)}
              truth={ofTarget ? null : shown.answer.label_index}
              other={target.other}
              change={changeClass}
            />
            <Notes answer={shown.answer} />
            <Downloads answer={{ ...shown.answer, name }} />
          </>
        ) : (
          <p class="note">{needed ? neededText(needed) : error ? "No prediction." : "The five most probable classes appear here."}</p>
        )}
      </aside>
    </div>
  );
}

/** "Prediction at box 2". */
function placeText(spec: string): string {
  if (isPrompt(spec)) return "Prediction among the texts";
  return /^class:/.test(spec) ? "Prediction in the region" : `Prediction at ${spec}`;
}

/** Send the requests of a view as soon as it changes, before anything is rendered; rendering then finds them on their way. */
function requestAtOnce(): void {
  const { image } = view;
  if (!image.value || neededFirst() || !isQuick(methodOfView())) return;
  // The pixels are read while the map is waited for. A failure is reported by the request that needs the image.
  loadImage(image.value).then((photo) => keptPixels(photo, ...photoSize(photo, SIDE_PX)), () => {});
  explainCached(requestOfView()).catch(() => {});
}

/** Return to what the displayed map stands for. */
function back(to: View): void {
  const { image, model, method, layer, target, score } = to;
  const { ["explain.options"]: _, ...more } = view.more.peek();
  const options = to.more["explain.options"];
  setView({ image, model, method, layer, target, score, more: options ? { ...more, "explain.options": options } : more });
}

/** Fetch the maps of all layers once a map is displayed; returns which image and how many are there. */
function useAllLayers(body: ExplainRequest, answer: ExplainResponse | null): string | null {
  const stages = useSignal<string | null>(null);
  const latest = useRef({ body });
  latest.current = { body };
  const fetchSoon = useMemo(
    () =>
      debounce(QUIET_MS, async () => {
        const now = latest.current.body;
        const names = modelOf(String(now.model)).layers.map((layer) => layer.name);
        const method = String(now.methods?.[0]);
        if (!mapsOneLayer(method) || !isQuick(method) || names.length < 2) return;
        const reference = referenceTarget(String(now.targets?.[0] ?? ""));
        const bodies = reference === null ? [now] : [now, { ...now, targets: reference ? [reference] : [] }];
        for (const one of bodies) if (!hasAllLayers(one) && !(await fetchAllLayers(one, names))) return;
        stages.value = `${now.image} ${names.length}`;
      }),
    [],
  );
  useEffect(() => {
    if (answer) fetchSoon();
  }, [answer]);
  const asked = JSON.stringify({ ...body, layers: [] });
  useLayoutEffect(() => () => stopFetching(), [asked]);
  return stages.value;
}

