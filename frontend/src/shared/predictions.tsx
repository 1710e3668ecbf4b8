// The most probable classes as bars; each one selects its class.

import type { Prediction } from "../api/types";
import { chance, fixed } from "../numbers";

export function Predictions(props: {
  predictions: readonly Prediction[];
  selected: number | null;
  /** null: they cannot be selected. */
  change: ((index: number) => void) | null;
  /** The label of the image, and the class that it is compared with, by index. */
  truth?: number | null;
  other?: number | null;
}) {
  const { predictions, selected, change, truth, other } = props;
  return (
    <div class="bars" role="group" aria-label="Most probable classes">
      {predictions.map((prediction) => (
        <button
          key={prediction.index}
          class="guess"
          aria-pressed={prediction.index === selected}
          title={`logit ${fixed(prediction.logit)}`}
          disabled={change === null}
          onClick={() => change?.(prediction.index)}
        >
          <span class="name">{prediction.name}</span>
          {prediction.index === truth && <span class="mark">true class</span>}
          {prediction.index === other && <span class="mark">rather than</span>}
          <span class="number">{chance(prediction)}</span>
          <span class="track" aria-hidden="true">
            <span class="bar" style={{ width: `${Math.max(0.5, 100 * (prediction.probability ?? 0))}%` }} />
          </span>
        </button>
      ))}
    </div>
  );
}
