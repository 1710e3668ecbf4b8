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
      {predictions.map((prediction) => {
        const { index, name, logit, probability } = prediction;
        return (
          <button
            key={index}
            class="guess"
            aria-pressed={index === selected}
            title={`logit ${fixed(logit)}`}
            disabled={change === null}
            onClick={() => change?.(index)}
          >
            <span class="name">{name}</span>
            {index === truth && <span class="mark">true class</span>}
            {index === other && <span class="mark">rather than</span>}
            <span class="number">{chance(prediction)}</span>
            <span class="track" aria-hidden="true">
              <span class="bar" style={{ width: `${Math.max(0.5, 100 * (probability ?? 0))}%` }} />
            </span>
          </button>
        );
      })}
    </div>
  );
}
