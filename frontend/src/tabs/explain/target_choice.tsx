// Which target of the image is explained: a box, a region, a word, or what is written into the field.

import { useEffect, useId, useState } from "preact/hooks";
import { percent } from "../../numbers";
import { ClassSearch } from "../../shared/class_search";
import { CheckBox, TextField } from "../../shared/controls";
import { modelOf } from "../../state/app";
import { setView, view } from "../../state/view";
import { NeededField } from "./question_field";
import { isAt, partsOf, withOther } from "./target_text";
import { explainTarget, type ImageTarget, kindOf, targetName, type Targets } from "./targets";

export const HEADINGS: Record<string, string> = { detection: "Detections", segmentation: "Regions", caption: "Caption" };
const EXAMPLES: Record<string, string> = {
  detection: "dog at 120,80",
  segmentation: "class:dog at 120,80",
  caption: "word 2",
};

export function TargetChoice({ targets, selected }: { targets: Targets | null; selected: string }) {
  const kind = kindOf(targets);
  const answered = modelOf().image_targets === "question";
  const found = targets?.targets ?? [];
  if (!kind || kind === "image-text") return <NeededField />;
  const heading = answered ? "Answer" : (HEADINGS[kind] ?? "Target");
  return (
    <>
      <NeededField />
      <section class="decision image-targets">
        <h3>{heading}</h3>
        <TargetList heading={heading} kind={kind} targets={found} isSelected={(spec) => isAt(selected, spec)} choose={explainTarget} />
        {found.length > 0 && <OtherField kind={kind} targets={found} selected={selected} />}
        <TargetField kind={kind} />
        {view.target.value && (
          <>
            <CheckBox
              label="Keep this target for other images"
              checked={view.pin.value === 1}
              change={(checked) => setView({ pin: checked ? 1 : 0 })}
            />
            <button class="quiet" onClick={() => setView({ target: "", pin: 0 }, true)}>
              Back to the first target
            </button>
          </>
        )}
      </section>
    </>
  );
}

/** The targets as buttons; of a caption, as its sentence. */
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
          <button
            key={`${spec} ${i}`}
            class="target"
            aria-pressed={isSelected(spec)}
            disabled={!spec}
            title={label}
            onClick={() => choose(spec)}
          >
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
  const { labels } = modelOf();
  const set = (other: string): void => explainTarget(withOther(selected, usual, other));
  if (kind !== "caption") {
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
  return (
    <TextField label={`“${parts.name || usual}” rather than`} value={parts.other} placeholder="another word" change={set} />
  );
}

/** The target as text, such as a point at which an object was missed. */
function TargetField({ kind }: { kind: string }) {
  const id = useId();
  const written = view.target.value;
  const [text, setText] = useState(written);
  useEffect(() => setText(written), [written]);
  const send = (event: Event): void => {
    event.preventDefault();
    explainTarget(text.trim());
  };
  return (
    <form class="field" onSubmit={send}>
      <label for={id}>Target</label>
      <div class="row">
        <input
          id={id}
          type="text"
          autocomplete="off"
          spellcheck={false}
          maxLength={180}
          placeholder={EXAMPLES[kind] ?? ""}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit">Explain</button>
      </div>
    </form>
  );
}
