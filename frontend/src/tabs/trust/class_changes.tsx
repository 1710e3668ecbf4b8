// Class probabilities before and after a change of the image, as pairs of bars.

import { percent } from "../../numbers";
import type { ClassChange } from "./schemas";

const MAX_SHOWN = 6;

export function ClassChanges({ classes, target }: { classes: readonly ClassChange[]; target: number }) {
  return (
    <ul class="stands" aria-label="Probability of the classes, before and after">
      {classes.slice(0, MAX_SHOWN).map(({ index, name, before, after }) => {
        const arrow = Math.abs(after - before) < 0.005 ? "→" : after > before ? "↑" : "↓";
        return (
          <li key={index} class={index === target ? "target" : ""}>
            <span class="name">{name}</span>
            <span class="number">
              {percent(before)} {arrow} <b>{percent(after)}</b>
            </span>
            <span class="track" aria-hidden="true">
              <span class="before" style={{ width: `${Math.max(0.3, 100 * before)}%` }} />
              <span class="after" style={{ width: `${Math.max(0.3, 100 * after)}%` }} />
            </span>
          </li>
        );
      })}
    </ul>
  );
}

/** "cat 97 % → 12 %". */
export const changeText = ({ name, before, after }: ClassChange): string => `${name} ${percent(before)} → ${percent(after)}`;

/** What the change of the probability says about the occluded region. */
export function meaningOf({ before, after }: ClassChange): string {
  if (after > before + 0.05) return "the model is more confident without the occluded region.";
  const left = after / Math.max(before, 1e-9);
  if (left < 0.5) return "the occluded region is important.";
  return left < 0.9 ? "the occluded region has some influence." : "the occluded region has hardly any influence.";
}

/** A sentence that is read out when it changes. */
export function Outcome({ text }: { text: string }) {
  return (
    <p class="outcome" aria-live="polite">
      {text.replaceAll(" %", "\u00a0%")}
    </p>
  );
}
