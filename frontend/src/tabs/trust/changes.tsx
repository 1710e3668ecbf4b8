// Class probabilities before and after a change of the image, as pairs of bars and as text.

import type { Schemas } from "../../api/types";
import { percent } from "../../numbers";

export type ClassChange = Schemas["ClassChange"];
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
