// Trust: tests of the map of the view. A verdict, curves, occlusion, and small perturbations.

import "../../styles/trust.css";
import type { ComponentType } from "preact";
import { loadImage } from "../../api/images";
import { ImagePicker } from "../../shared/image_picker";
import { LayerList } from "../../shared/layer_list";
import { MapView } from "../../shared/map_view";
import { methodName } from "../../shared/method_names";
import { MethodPicker, ModelPicker } from "../../shared/method_picker";
import { Pending } from "../../shared/pending";
import { Predictions } from "../../shared/predictions";
import { SegmentedControl } from "../../shared/segmented_control";
import { useRequest } from "../../shared/use_request";
import { WHOLE } from "../../shared/zoom";
import { mapsOneLayer, methodInView, methodOfView, modelOf } from "../../state/app";
import { setTabValues, setView, tabValue, view } from "../../state/view";
import { neededText } from "../explain/question_field";
import { TargetChoice } from "../explain/target_choice";
import { REACH_PX, TargetMarks } from "../explain/target_marks";
import { isAt } from "../explain/target_text";
import { classInTarget, explainTarget, neededFirst, shapeAt, useShapes, useTargets } from "../explain/targets";
import { Curves } from "./curves";
import { Occlude } from "./occlude";
import { Stability } from "./stability";
import { fetchSubject, requestOfView, type Subject } from "./subject";
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
  const asked = image && !needed ? requestOfView() : null;
  const request = useRequest(asked && JSON.stringify(asked), () => fetchSubject(asked!));
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
  const { name, Component } = PARTS.find((one) => one.name === tabValue("trust.part")) ?? PARTS[0]!;
  const map = subject?.map;
  const marked = subject && shapes.length > 0;
  return (
    <div
      class="trust-tab"
      aria-busy={request.busy || undefined}
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
            pick={marked ? pick : undefined}
          >
            {marked && <TargetMarks shapes={shapes} size={size} isSelected={isSelected} choose={explainTarget} window={WHOLE} />}
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
          {mapsOneLayer(methodOfView()) && (
            <LayerList selected={view.layer.value || (modelOf().layers.at(-1)?.name ?? "")} change={(layer) => setView({ layer }, true)} />
          )}
        </details>
      </aside>
      <div class="tests">
        <SegmentedControl
          label="Tests"
          segments={PARTS.map((part) => [part.name, part.title] as const)}
          value={name}
          change={(next) => setTabValues({ "trust.part": next === PARTS[0]!.name ? null : next })}
        />
        {needed && <p class="lead">{neededText(needed)}</p>}
        {!image && <p class="lead">Select an image, under "Another image", to test its map.</p>}
        <Pending requests={[{ ...request, error }]} />
        {subject && !error && <Component subject={subject} key={`${name} ${subject.key}`} />}
      </div>
    </div>
  );
}

function SubjectClass({ subject: { answer, map } }: { subject: Subject }) {
  const explainClass = (index: number): void => setView({ target: String(index) }, true);
  return (
    <div class="guesses">
      <Predictions
        predictions={answer.predictions}
        selected={map.index}
        change={map.spec ? classInTarget(map.spec, modelOf(map.model).labels, answer.predictions) : explainClass}
      />
      {map.index === null && <p class="note">This map does not explain a single class. Select a class above to test its map.</p>}
      {view.score.value !== "logit" && <p class="note">The tested map explains the logit of the class.</p>}
    </div>
  );
}
