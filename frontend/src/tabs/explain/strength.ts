// How strong a map is beside the one it stands next to: full colours do not say that.

import { useEffect, useState } from "preact/hooks";
import type { ExplainRequest, ExplainResponse } from "../../api/types";
import type { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { parseTarget, targetText } from "../../shared/target";
import { isQuick } from "../../state/app";
import { fieldOf } from "./field_of";
import { explainCached } from "./layer_cache";

export interface Strength {
  /** The peak of the map, as a fraction of the peak of the reference. */
  ratio: number;
  reference: Field;
  /** The class of the reference map. */
  name: string;
  negative: boolean;
}

/** The target whose map a map is compared with: the positive evidence of the same class, or of the predicted one. */
export function referenceTarget(target: string): string | null {
  const parsed = parseTarget(target);
  if (!parsed || !target) return null;
  const { index, other, negative } = parsed;
  return negative || other !== null ? targetText({ index, other: null, negative: false }) : "";
}

/** The strength of the displayed map; null while it is unknown, or where there is nothing to compare it with. */
export function useStrength(body: ExplainRequest, answer: ExplainResponse | null): Strength | null {
  const [strength, setStrength] = useState<{ of: ExplainResponse; value: Strength } | null>(null);
  const target = String(body.targets?.[0] ?? "");
  useEffect(() => {
    const reference = referenceTarget(target);
    if (!answer || reference === null || !isQuick(String(body.methods?.[0]))) return;
    let wanted = true;
    explainCached({ ...body, targets: reference ? [reference] : [] }).then(
      (other) => {
        const field = fieldOf(other);
        if (!wanted || !field.top || other.maps[0]!.layer !== answer.maps[0]!.layer) return;
        const ratio = fieldOf(answer).top / field.top;
        const negative = parseTarget(target)?.negative ?? false;
        setStrength({ of: answer, value: { ratio, reference: field, name: other.maps[0]!.target, negative } });
      },
      () => {}, // nothing is said about a map that does not exist
    );
    return () => void (wanted = false);
  }, [answer]);
  return strength && strength.of === answer ? strength.value : null;
}

/** "Negative evidence is 0.3 % as strong as the positive evidence for mug." */
export function strengthText({ ratio, name, negative }: Strength): string {
  const times = ratio >= 1.995 ? `${ratio.toFixed(ratio < 9.95 ? 1 : 0)} times` : ratio >= 1 ? `${Math.round(100 * ratio)} %` : percent(ratio);
  return negative
    ? `The negative evidence is ${times} as strong as the positive evidence for ${name}.`
    : `This map is ${times} as strong as the map for ${name}.`;
}
