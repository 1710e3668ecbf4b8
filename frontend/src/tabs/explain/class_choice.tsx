// Which class is explained: the predicted one, any by name, one rather than another, the evidence against one.

import { ClassSearch } from "../../shared/class_search";
import { CheckBox } from "../../shared/controls";
import { parseTarget, PREDICTED, type Target, targetText } from "../../shared/target";
import { modelOf } from "../../state/app";
import { setView, view } from "../../state/view";

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
      <CheckBox
        label="Negative evidence"
        checked={negative}
        change={(checked) => setTarget({ negative: checked, other: null })}
      />
      {view.target.value && !whole && (
        <>
          <CheckBox
            label={`Keep this ${noun} for other images`}
            checked={view.pin.value === 1}
            change={(checked) => setView({ pin: checked ? 1 : 0 })}
          />
          <button class="quiet" onClick={() => setView({ target: "", pin: 0 }, true)}>
            {`Back to the predicted ${noun}`}
          </button>
        </>
      )}
    </section>
  );
}
