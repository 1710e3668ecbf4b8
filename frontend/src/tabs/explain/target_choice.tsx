// What is explained: a class, one rather than another, the evidence against one; a box, a region or a word of the image.

import { percent } from "../../numbers";
import { ClassSearch } from "../../shared/class_search";
import { CheckBox, TextField } from "../../shared/controls";
import { modelOf } from "../../state/app";
import { setView, view } from "../../state/view";
import { NeededField, SentField } from "./question_field";
import { isAt, parseTarget, partsOf, PREDICTED, type Target, targetText, withOther } from "./target_text";
import { explainTarget, type ImageTarget, kindOf, targetName, type Targets } from "./targets";

export const targetOfView = (): Target => parseTarget(view.target.value) ?? PREDICTED;

export function setTarget(patch: Partial<Target>): void {
  const next = { ...(parseTarget(view.target.peek()) ?? PREDICTED), ...patch };
  if (next.other !== null) next.negative = false;
  if (next.other === next.index) next.other = null;
  setView({ target: targetText(next) }, true);
}

/** `whole`: the classes of the whole image, of a model that has other targets as well. `noun`: "answer" to a question. */
export function ClassChoice(props: { predicted: number | null; whole?: boolean; noun?: string }) {
  const { predicted, whole = false, noun = "class" } = props;
  const { labels } = modelOf();
  const { index, other, negative } = targetOfView();
  return (
    <section class="decision classes">
      <h3>{whole ? "Class of the whole image" : noun === "class" ? "Class" : "Answer"}</h3>
      <ClassSearch
        label={`Explained ${noun}`}
        names={labels}
        value={index}
        placeholder={whole ? "no class" : predicted === null ? `the predicted ${noun}` : `predicted: ${labels[predicted] ?? predicted}`}
        change={(next) => setTarget({ index: next })}
      />
      <ClassSearch
        label="Rather than"
        names={labels}
        value={other}
        placeholder={`no other ${noun}`}
        // The other class stays when the prediction changes, so the explained class is named as well.
        change={(next) => setTarget({ other: next, index: next === null ? index : (index ?? predicted) })}
      />
      <CheckBox label="Negative evidence" checked={negative} change={(checked) => setTarget({ negative: checked, other: null })} />
      {!whole && <Selected what={noun} usual={`predicted ${noun}`} />}
    </section>
  );
}

/** Keep the selected target for other images, or go back to the usual one. */
function Selected({ what, usual }: { what: string; usual: string }) {
  if (!view.target.value) return null;
  return (
    <>
      <CheckBox
        label={`Keep this ${what} for other images`}
        checked={view.pin.value === 1}
        change={(checked) => setView({ pin: checked ? 1 : 0 })}
      />
      <button class="quiet" onClick={() => setView({ target: "", pin: 0 }, true)}>{`Back to the ${usual}`}</button>
    </>
  );
}

export const HEADINGS: Record<string, string> = { detection: "Detections", segmentation: "Regions", caption: "Caption" };
/** Targets as text: also a point at which an object was missed. */
const EXAMPLES: Record<string, string> = { detection: "dog at 120,80", segmentation: "class:dog at 120,80", caption: "word 2" };

export function TargetChoice({ targets, selected }: { targets: Targets | null; selected: string }) {
  const kind = kindOf(targets);
  const found = targets?.targets ?? [];
  if (!kind || kind === "image-text") return <NeededField />;
  const heading = modelOf().image_targets === "question" ? "Answer" : (HEADINGS[kind] ?? "Target");
  return (
    <>
      <NeededField />
      <section class="decision image-targets">
        <h3>{heading}</h3>
        <TargetList heading={heading} kind={kind} targets={found} isSelected={(spec) => isAt(selected, spec)} choose={explainTarget} />
        {found.length > 0 && <OtherField kind={kind} targets={found} selected={selected} />}
        <SentField label="Target" value={view.target.value} placeholder={EXAMPLES[kind] ?? ""} button="Explain" send={explainTarget} />
        <Selected what="target" usual="first target" />
      </section>
    </>
  );
}

export function TargetList(props: {
  heading: string;
  kind: string;
  targets: readonly ImageTarget[];
  isSelected: (spec: string) => boolean;
  choose: (spec: string) => void;
}) {
  const { heading, kind, targets, isSelected, choose } = props;
  if (!targets.length) return null;
  return (
    <div class={`target-list ${kind === "caption" ? "sentence" : ""}`} role="group" aria-label={heading}>
      {targets.map((target, i) => {
        const { spec, label, probability } = target;
        return (
          <button key={`${spec} ${i}`} class="target" aria-pressed={isSelected(spec)} disabled={!spec} title={label} onClick={() => choose(spec)}>
            <span>{targetName(target)}</span>
            {probability !== null && <span class="number">{`· ${percent(probability)}`}</span>}
          </button>
        );
      })}
    </div>
  );
}

/** Why this and not that, at the same box, region or word. */
function OtherField({ kind, targets, selected }: { kind: string; targets: readonly ImageTarget[]; selected: string }) {
  const parts = partsOf(selected);
  if (!parts) return null;
  const usual = targets.find((one) => one.spec === parts.base)?.name ?? "";
  const set = (other: string): void => explainTarget(withOther(selected, usual, other));
  if (kind === "caption")
    return <TextField label={`“${parts.name || usual}” rather than`} value={parts.other} placeholder="another word" change={set} />;
  const { labels } = modelOf();
  const at = labels.indexOf(parts.other);
  return (
    <ClassSearch
      label="Rather than"
      names={labels}
      value={at < 0 ? null : at}
      placeholder="no other class"
      change={(index) => set(index === null ? "" : (labels[index] ?? ""))}
    />
  );
}
