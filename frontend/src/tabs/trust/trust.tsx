// Trust: tests of the map of the view. A verdict, curves, occlusion, and small perturbations.

import "../../styles/trust.css";
import type { ComponentType } from "preact";
import { loadImage } from "../../api/images";
import { explain } from "../../api/explain";
import type { ExplainRequest } from "../../api/types";
import { Field } from "../../maps/field";
import { ErrorMessage } from "../../shared/error_message";
import { ImagePicker } from "../../shared/image_picker";
import { LayerList } from "../../shared/layer_list";
import { MapView } from "../../shared/map_view";
import { methodName } from "../../shared/method_names";
import { MethodPicker, ModelPicker } from "../../shared/method_picker";
import { Predictions } from "../../shared/predictions";
import { SegmentedControl } from "../../shared/segmented_control";
import { useRequest } from "../../shared/use_request";
import { WHOLE } from "../../shared/zoom";
import { isLayered, mapsOneLayer, methodInView, methodNamed, methodOfView, modelOf, questionOf } from "../../state/app";
import { setTabValues, setView, tabValue, view } from "../../state/view";
import { neededText } from "../explain/question_field";
import { TargetChoice } from "../explain/target_choice";
import { TargetMarks, REACH_PX } from "../explain/target_marks";
import { isAt } from "../explain/target_text";
import { classInTarget, explainTarget, neededFirst, shapeAt, useShapes, useTargets } from "../explain/targets";
import { Curves } from "./curves";
import { Occlude } from "./occlude";
import type { MapRequest, Subject } from "./schemas";
import { Stability } from "./stability";
import { VerdictPart } from "./verdict";

const PARTS: readonly { name: string; title: string; Component: ComponentType<{ subject: Subject }> }[] = [
  { name: "verdict", title: "Verdict", Component: VerdictPart },
  { name: "curves", title: "Curves", Component: Curves },
  { name: "cover", title: "Occlude", Component: Occlude },
  { name: "stability", title: "Stability", Component: Stability },
];

export function Trust() {
  const needed = neededFirst();
  const image = view.image.value;
  const request = useRequest(image && !needed ? requestKey() : null, fetchSubject);
  const { busy } = request;
  const subject = needed ? null : request.data;
  const error = needed ? null : request.error;
  const photo = useRequest<HTMLImageElement>(needed && image ? image : null, () => loadImage(image));
  const targets = useTargets();
  const shapes = useShapes(targets);
  const spec = view.target.value || (targets?.targets[0]?.spec ?? "");
  const size = (targets?.size ?? [1, 1]) as [number, number];
  const isSelected = (one: string): boolean => isAt(spec, one);
  const pick = (x: number, y: number, perPixel: number): void => {
    const hit = shapeAt(shapes, size, x * size[0], y * size[1], REACH_PX * perPixel * size[0])?.target.spec;
    if (hit && !isSelected(hit)) explainTarget(hit);
  };
  const part = PARTS.find((one) => one.name === tabValue("trust.part")) ?? PARTS[0]!;
  const { Component } = part;
  const map = subject?.map;
  return (
    <div
      class="trust-tab"
      aria-busy={busy || undefined}
      data-drawn={subject ? `${subject.answer.image} ${subject.map.method} ${subject.map.target}` : undefined}
    >
      <aside class="side" aria-label="Tested map">
        <div class="subject">
          <MapView
            kind="overlay"
            side={320}
            image={subject?.image ?? photo.data}
            field={subject?.field ?? null}
            label={map ? `The map for ${map.target}` : "No map"}
            caption={map && <b>{`Map: ${map.target} · ${methodName(map.method)} · ${map.layer}`}</b>}
            pick={subject && shapes.length > 0 ? pick : undefined}
          >
            {subject && shapes.length > 0 && (
              <TargetMarks shapes={shapes} size={size} isSelected={isSelected} choose={explainTarget} window={WHOLE} />
            )}
          </MapView>
          {subject && <SubjectClass subject={subject} />}
        </div>
        {modelOf().image_targets && <TargetChoice targets={targets} selected={spec} />}
        <details class="card">
          <summary>Another image</summary>
          <ImagePicker />
        </details>
        <details class="card">
          <summary>Another model, method, layer</summary>
          <ModelPicker />
          <MethodPicker change={(method) => setView({ method: methodInView(method) }, true)} />
          {mapsOneLayer(methodOfView()) && <LayerList selected={selectedLayer()} change={(layer) => setView({ layer }, true)} />}
        </details>
      </aside>
      <div class="tests">
        <SegmentedControl
          label="Tests"
          segments={PARTS.map(({ name, title }) => [name, title] as const)}
          value={part.name}
          change={(name) => setTabValues({ "trust.part": name === PARTS[0]!.name ? null : name })}
        />
        {needed && <p class="lead">{neededText(needed)}</p>}
        <ErrorMessage error={error} retry={request.retry} />
        {subject && !error && <Component subject={subject} key={part.name} />}
      </div>
    </div>
  );
}

const selectedLayer = (): string => view.layer.value || (modelOf().layers.at(-1)?.name ?? "");

function SubjectClass({ subject }: { subject: Subject }) {
  const { answer, map } = subject;
  return (
    <div class="guesses">
      <Predictions
        predictions={answer.predictions}
        selected={map.index}
        change={map.spec ? classInTarget(map.spec, modelOf(map.model).labels, answer.predictions) : (index) => setView({ target: String(index) }, true)}
      />
      {map.index === null && (
        <p class="note">This map does not explain a single class. Select a class above to test its map.</p>
      )}
      {view.score.value !== "logit" && <p class="note">The tested map explains the logit of the class.</p>}
    </div>
  );
}

/** The tested map as the API takes it, as text; subscribes to the view. */
function requestKey(): string {
  const { image, model, layer, target } = view;
  const method = methodOfView();
  const made: MapRequest = { image: image.value, model: model.value, ...questionOf(), method };
  if (layer.value && isLayered(method)) made.layer = layer.value;
  if (target.value) made.target = target.value;
  return JSON.stringify(made);
}

async function fetchSubject(): Promise<Subject> {
  const key = requestKey();
  const request = JSON.parse(key) as MapRequest;
  const method = request.method!;
  const body: ExplainRequest = {
    image: request.image,
    model: request.model,
    ...(request.question ? { question: request.question } : {}),
    methods: [method],
    layers: mapsOneLayer(method) && request.layer ? [request.layer] : [],
    targets: request.target ? [request.target] : [],
    score: "logit",
  };
  const [image, answer] = await Promise.all([loadImage(request.image), explain(body)]);
  const map = answer.maps[0]!;
  const known = methodNamed(method);
  const slow = known ? !known.quick : answer.seconds > 1;
  return { request, key, image, answer, map, field: Field.of(map, answer.geometry), slow };
}
