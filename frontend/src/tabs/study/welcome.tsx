// The entry into a study: a name by which answers are kept, remembered for the next visit.

import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { counted, minutes } from "../../numbers";
import type { StudyInfo } from "./schemas";

const STORED = "study.person";

/** The next participant is another one. */
export const forgetPerson = (): void => localStorage.removeItem(STORED);

const tidy = (name: string): string => name.trim().split(/\s+/).join(" ").normalize("NFC");

export function Welcome({ info, focus, start }: { info: StudyInfo; focus: boolean; start: (person: string) => void }) {
  const id = useId();
  const [text, setText] = useState(() => localStorage.getItem(STORED) ?? "");
  const title = useRef<HTMLHeadingElement>(null);
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    if (focus) (text ? title : input).current!.focus();
  }, []);
  const total = info.pairs + info.ratings;
  const name = tidy(text);
  const known = info.people.find((one) => one.name === name);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!name) return;
    localStorage.setItem(STORED, name);
    start(name);
  };
  return (
    <section class="card begin">
      <h2 tabIndex={-1} ref={title}>
        Which map explains the prediction better?
      </h2>
      <p>
        {`${info.model} predicted the classes of ${counted(info.n_images, "image")}. `}
        A map highlights the positions that are supposed to have determined the prediction.{" "}
        {info.pairs > 0 && "You see two maps of an image and choose the one that explains the prediction better. "}
        {info.ratings > 0 && `${info.pairs ? "Sometimes" : "Each time"} you rate one map alone, from 1 to 5. `}
        The methods are not named.
      </p>
      <p class="note">
        {`${counted(total, "question")}, ${minutes(total)}. Every answer is saved at once, so you can stop at any time and continue later with the same name.`}
      </p>
      <form onSubmit={submit}>
        <label for={id}>Your name, or a number</label>
        <div class="row">
          <input
            ref={input}
            id={id}
            type="text"
            maxLength={60}
            required
            autocomplete="off"
            spellcheck={false}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <button class="main large" type="submit">
            {!known ? "Start" : known.answered < total ? "Continue" : "Review answers"}
          </button>
        </div>
        <p class="note" aria-live="polite">
          {known && `${known.name} has answered ${known.answered} of ${total}.`}
        </p>
      </form>
    </section>
  );
}
