// What has to be known of a map besides its colours, and of the prediction.

import type { ExplainResponse } from "../../api/types";
import { chance, short, sized } from "../../numbers";
import { methodName } from "../../shared/method_names";
import { methodNamed } from "../../state/app";
import { fieldOf } from "./requests";

const MEANINGS: Record<string, (value: string) => string> = {
  completeness_gap: (value) => `The sum of all attributions differs from the score by ${value}.`,
  baseline_score: (value) => `The score of the baseline is ${value}.`,
  masked_score: (value) => `The score with only the highlighted region visible is ${value}.`,
  standard_error: (value) => `The standard error of a map value, from the number of random samples, is ${value}.`,
  noise: (value) => `The error is ${value} of the standard deviation of the map; more samples reduce it.`,
  r2: (value) => `R² of the linear surrogate model is ${value}.`,
};

/** The predicted class, and whether it is correct; the label is that of the image, not of one box, region or word. */
export function Headline({ answer }: { answer: ExplainResponse }) {
  const best = answer.predictions[0]!;
  const label = answer.maps[0]!.spec ? null : answer.label;
  const correct = label === null || answer.label_index === null ? null : best.index === answer.label_index;
  return (
    <p class="headline">
      <b>{best.name}</b> {chance(best)}
      {label !== null && <span class="soft"> · true class: {label} </span>}
      {correct !== null && <span class={correct ? "right" : "wrong"}>{correct ? "✓ correct" : "✗ wrong"}</span>}
      {label !== null && correct === null && <span class="soft">(not a class of this model)</span>}
    </p>
  );
}

/** "Map: mug · Grad-CAM · layer4". */
export function mapCaption({ maps: [map] }: ExplainResponse): string {
  const { target, method, layer } = map!;
  return `Map: ${target} · ${methodName(method)} · ${layer}`;
}

/** The score with its unit, the resolution of the map, what the method reported. */
export function Notes({ answer }: { answer: ExplainResponse }) {
  const map = answer.maps[0]!;
  const { height, width } = map.map;
  const sentences = [
    methodNamed(map.method)?.class_free && "This method gives the same map for every class.",
    map.layer !== "input" && `The map has ${sized([height, width])} values; the display interpolates between them.`,
    fieldOf(answer).showsSigns && "Positive and negative evidence are displayed.",
    map.percentile < 100 && `The display saturates at the ${map.percentile}th percentile of the absolute values.`,
    ...Object.entries(map.notes).map(([name, value]) => MEANINGS[name]?.(short(value)) ?? `${name}: ${short(value)}`),
  ];
  return (
    <div class="notes">
      <p class="what">
        <b>{map.target}</b>
        <span class="soft">{` ${map.score_kind.replace("_", " ")} ${short(map.score)} · ${map.model}`}</span>
      </p>
      <ul class="note">
        {map.remark && <li><b>{map.remark}</b></li>}
        {sentences.filter(Boolean).map((sentence) => <li key={sentence}>{sentence}</li>)}
      </ul>
    </div>
  );
}
