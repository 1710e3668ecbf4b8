// What a model needs first: a question about the image, or a text that is compared with it.

import { useSignal } from "@preact/signals";
import { useEffect, useId } from "preact/hooks";
import { app, modelOf } from "../../state/app";
import { setView, view } from "../../state/view";
import { type Prompt, promptOf, promptText } from "./target_text";
import type { Needed } from "./targets";

const QUESTION = "What animal is this?";
/** Longest question and target of the API. */
const MAX_LENGTH = 180;

/** Why nothing is explained yet. */
export const neededText = (needed: Needed): string =>
  needed === "question"
    ? "This model answers a question about the image. Enter a question first."
    : "This model compares the image with a text. Enter a text first.";

/** A field whose text counts when it is sent: by its button, or without one also when the field is left. */
export function SentField(props: { label: string; value: string; placeholder: string; button?: string; send: (text: string) => void }) {
  const { label, value, placeholder, button, send } = props;
  const id = useId();
  const text = useSignal(value);
  useEffect(() => void (text.value = value), [value]);
  const submit = (event: Event): void => {
    event.preventDefault();
    send(text.value.trim());
  };
  return (
    <form class="field" onSubmit={submit}>
      <label for={id}>{label}</label>
      <div class="row">
        <input
          id={id}
          type="text"
          autocomplete="off"
          spellcheck={false}
          maxLength={MAX_LENGTH}
          placeholder={placeholder}
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
          onChange={button ? undefined : submit}
        />
        {button && <button type="submit">{button}</button>}
      </div>
    </form>
  );
}

/** The question; another one has other answers. */
export function QuestionField() {
  const ask = (question: string): void => setView({ question, target: "", pin: 0 }, true);
  return (
    <section class="decision image-targets question">
      <h3>Question</h3>
      <SentField label="Question about the image" value={view.question.value} placeholder={QUESTION} button="Ask" send={ask} />
      {!view.question.value && (
        <Example note="This model answers a question about the image, and the answer is explained." text={QUESTION} take={ask} />
      )}
    </section>
  );
}

/** The text, and what it is compared with. */
function PromptFields() {
  const now = promptOf(view.target.value);
  const set = (patch: Partial<Prompt>): void => setView({ target: promptText({ ...now, ...patch }) }, true);
  // Two texts as examples, with the first classes of the data set.
  const [one = "dog", other = "cat"] = app.start.data.classes.map((name) => name.replaceAll("_", " "));
  const [first, second] = [`a photo of a ${one}`, `a photo of a ${other}`];
  return (
    <section class="decision image-targets prompt">
      <h3>Text</h3>
      <SentField label="Text that is compared with the image" value={now.text} placeholder={first} button="Explain" send={(text) => set({ text })} />
      {now.text ? (
        <details open={Boolean(now.other || now.among) || undefined}>
          <summary>Compare with other texts</summary>
          <SentField label="Rather than" value={now.other} placeholder={second} send={(text) => set({ other: text })} />
          <SentField label="Competing texts, separated by commas" value={now.among} placeholder={second} send={(among) => set({ among })} />
          <p class="note">One text alone has no probability. Competing texts give it one, which the tests of the tab Trust need.</p>
        </details>
      ) : (
        <Example
          note="This model compares the image with a text, and the map shows where the image matches it."
          text={first}
          take={(text) => set({ text })}
        />
      )}
    </section>
  );
}

function Example({ note, text, take }: { note: string; text: string; take: (text: string) => void }) {
  return (
    <>
      <p class="note">{note}</p>
      <p class="example">For example: <button class="preset" onClick={() => take(text)}>{text}</button></p>
    </>
  );
}

/** The field that the model of the view needs, if any. */
export function NeededField() {
  const kind = modelOf().image_targets;
  if (kind === "question") return <QuestionField />;
  return kind === "image-text" ? <PromptFields /> : null;
}
