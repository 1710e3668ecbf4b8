// Which target of the image is explained: a box, a region, a word, or what is written into the field.

import { useEffect, useId, useState } from "preact/hooks";
import { percent } from "../../numbers";
import { CheckBox } from "../../shared/controls";
import { modelOf } from "../../state/app";
import { setView, view } from "../../state/view";
import { explainTarget, type ImageTarget, type Targets } from "./targets";

const HEADINGS: Record<string, string> = { detection: "Detections", segmentation: "Regions", caption: "Caption" };
const EXAMPLES: Record<string, string> = {
  detection: "dog at 120,80",
  segmentation: "dog at 120,80",
  caption: "word 2",
  "image-text": "a dog",
};
/** Targets of models that compare an image with a text begin with it; the field takes the text alone. */
const PREFIX = "text:";

export function TargetChoice({ targets, selected }: { targets: Targets | null; selected: string }) {
  const kind = modelOf().image_targets ?? "";
  const found = targets?.targets ?? [];
  return (
    <section class="decision image-targets">
      <h3>{HEADINGS[kind] ?? "Target"}</h3>
      {found.length > 0 && (
        <div class={`target-list ${kind === "caption" ? "sentence" : ""}`} role="group" aria-label={HEADINGS[kind] ?? "Targets"}>
          {found.map((target, i) => (
            <TargetButton key={`${target.spec} ${i}`} target={target} selected={target.spec === selected} />
          ))}
        </div>
      )}
      <TargetField kind={kind} />
      {view.target.value && (
        <>
          <CheckBox
            label="Keep this target for other images"
            checked={view.pin.value === 1}
            change={(checked) => setView({ pin: checked ? 1 : 0 })}
          />
          {kind !== "image-text" && (
            <button class="quiet" onClick={() => setView({ target: "", pin: 0 }, true)}>
              Back to the first target
            </button>
          )}
        </>
      )}
    </section>
  );
}

function TargetButton({ target, selected }: { target: ImageTarget; selected: boolean }) {
  const { spec, name, label, probability } = target;
  return (
    <button class="target" aria-pressed={selected} disabled={!spec} title={label} onClick={() => explainTarget(spec)}>
      <span>{name}</span>
      {probability !== null && <span class="number">{percent(probability)}</span>}
    </button>
  );
}

/** The target as text, such as a point at which an object was missed. */
function TargetField({ kind }: { kind: string }) {
  const id = useId();
  const takesText = kind === "image-text";
  const written = takesText && view.target.value.startsWith(PREFIX) ? view.target.value.slice(PREFIX.length) : view.target.value;
  const [text, setText] = useState(written);
  useEffect(() => setText(written), [written]);
  const send = (event: Event): void => {
    event.preventDefault();
    const target = text.trim();
    explainTarget(takesText && target && !target.startsWith(PREFIX) ? `${PREFIX}${target}` : target);
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
