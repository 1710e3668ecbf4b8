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
import { Predictions } from "../../shared/predictions";
import { ProgressBar } from "../../shared/progress_bar";
import { infoOf } from "../../shared/sample_store";
import { useRequest } from "../../shared/use_request";
import { isQuick, mapsOneLayer, methodOfView, modelOf, opened } from "../../state/app";
import { currentView, setTabValues, type View, view } from "../../state/view";
import { Downloads } from "./downloads";
import { LayerChoice } from "./layer_choice";
import { MethodChoice } from "./method_choice";
import { Headline, Notes } from "./notes";
import { neededText } from "./question_field";
import { explainCached, fetchAllLayers, hasAllLayers, referencesOf, requestOfView, stopFetching, useStrength } from "./requests";
import { Result } from "./result";
import { ClassChoice, setTarget, TargetChoice, targetOfView } from "./target_choice";
import { isAt, isPrompt } from "./target_text";
import { classInTarget, explainTarget, kindOf, neededFirst, useShapes, useTargets } from "./targets";

/** Milliseconds without a change after which the other layers are fetched. */
const QUIET_MS = 150;

export function Explain() {
  const root = useRef<HTMLDivElement>(null);
  const body = requestOfView();
  const image = view.image.value;
  const method = methodOfView();
  const needed = neededFirst();
  const request = useRequest(image && !needed ? JSON.stringify(body) : null, async (signal, listener) => {
    const began = performance.now();
    const now = currentView();
    const asked = isQuick(method) ? explainCached(body) : explainCached(body, listener, signal);
    const [photo, answer] = await Promise.all([loadImage(image), asked]);
    return { answer, image: photo, view: now, began };
  });
  const { data, busy } = request;
  const error = needed ? null : request.error;
  const photo = useRequest(error || needed ? image : null, () => loadImage(image)); // without a map, the image alone
  useLayoutEffect(() => effect(requestAtOnce), []);
  // A map of another image stands there only while the next one is on its way.
  const shown = data && !needed && (busy || data.answer.image === image) ? data : null;
  const answer = shown?.answer ?? null;
  const strength = useStrength(body, error ? null : answer, busy);
  const allLayers = useAllLayers(body, answer);

  useLayoutEffect(() => {
    if (!shown) return;
    opened.value = true;
    root.current!.dataset.waited = String(Math.round(performance.now() - shown.began));
    root.current!.dataset.seconds = String(shown.answer.seconds);
  }, [shown]);

  const name = infoOf(answer?.image ?? image)?.name ?? answer?.name ?? "the image";
  const map = answer?.maps[0];
  const predicted = answer?.predictions[0]?.index ?? null;
  const target = targetOfView();
  const model = modelOf();
  const targets = useTargets();
  const shapes = useShapes(targets);
  // What the view stands for until its map arrives; without a target it is the first one.
  const spec = view.target.value || (targets?.targets[0]?.spec ?? "");
  const ofTarget = map?.spec ?? "";
  const changeClass = ofTarget
    ? classInTarget(ofTarget, model.labels, answer!.predictions)
    : (index: number): void => setTarget({ index, other: null });
  const kind = kindOf(targets);
  // Only these have classes of the whole image besides.
  const whole = kind === "detection" || kind === "segmentation";
  const asks = model.image_targets === "question";
  const hasClasses = whole ? model.labels.length > 0 : (asks && targets !== null && !kind) || !model.image_targets;
  // The same elements are not rendered again; what they read of the view renders them by itself.
  const picker = useMemo(() => <section class="decision pictures"><ImagePicker /></section>, []);
  const classChoice = useMemo(
    () => <ClassChoice predicted={whole ? null : predicted} whole={whole} noun={asks ? "answer" : "class"} />,
    [predicted, whole, asks],
  );
  const choices = useMemo(() => [<MethodChoice key="method" />, <LayerChoice key="layer" />], []);
  return (
    <div
      ref={root}
      class={`explain-tab ${error && shown ? "stale" : ""}`}
      aria-busy={busy || undefined}
      data-drawn={map ? `${answer!.image} ${map.method} ${map.layer} ${map.target}` : undefined}
      data-stages={allLayers ?? undefined}
    >
      <aside class="decisions" aria-label="Settings">
        {picker}
        {model.image_targets && <TargetChoice targets={targets} selected={spec} />}
        {hasClasses && classChoice}
        {choices}
      </aside>
      <div class="stage">
        {busy && request.progress && <ProgressBar what="Explaining" progress={request.progress} stop={request.stop} />}
        <ErrorMessage error={error} retry={request.retry}>
          {error && shown && <button onClick={() => back(shown.view)}>Back to the displayed map</button>}
        </ErrorMessage>
        <Result
          answer={answer}
          image={shown?.image ?? (photo.key === image ? photo.data : null)}
          name={name}
          strength={strength}
          busy={busy}
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
        {answer ? (
          <>
            <Headline answer={answer} />
            <Predictions
              predictions={answer.predictions}
              selected={ofTarget ? map!.index : (target.index ?? predicted)}
              truth={ofTarget ? null : answer.label_index}
              other={target.other}
              change={changeClass}
            />
            <Notes answer={answer} />
            <Downloads answer={{ ...answer, name }} />
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
function back({ image, model, method, layer, target, score, more }: View): void {
  const options = more["explain.options"] ?? null;
  setTabValues({ "explain.options": options }, false, { image, model, method, layer, target, score });
}

/** Fetch the maps of all layers once a map is displayed; returns which image and how many are there. */
function useAllLayers(body: ExplainRequest, answer: ExplainResponse | null): string | null {
  const stages = useSignal<string | null>(null);
  const latest = useRef(body);
  latest.current = body;
  const fetchSoon = useMemo(
    () =>
      debounce(QUIET_MS, async () => {
        const now = latest.current;
        const names = modelOf(String(now.model)).layers.map((layer) => layer.name);
        const method = String(now.methods?.[0]);
        if (!mapsOneLayer(method) || !isQuick(method) || names.length < 2) return;
        for (const one of [now, ...referencesOf(now)]) if (!hasAllLayers(one) && !(await fetchAllLayers(one, names))) return;
        stages.value = `${now.image} ${names.length}`;
      }),
    [],
  );
  useEffect(() => {
    if (answer) fetchSoon();
  }, [answer]);
  useLayoutEffect(() => () => stopFetching(), [JSON.stringify({ ...body, layers: [] })]);
  return stages.value;
}
