// Study: which of two maps do people prefer, without knowing the methods?

import "../../styles/study.css";
import { signal } from "@preact/signals";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get } from "../../api/http";
import type { Schemas } from "../../api/types";
import { counted, minutes } from "../../numbers";
import { Pending } from "../../shared/pending";
import { useRequest } from "../../shared/use_request";
import { CreateStudy } from "./create";
import { QuestionView } from "./question_view";
import { Session } from "./session";
import { StudyResultsCard } from "./study_results";

/** The session that has begun; it goes on when the tab is displayed again. */
const running = signal<Session | null>(null);
/** Where the name of the participant is kept for the next visit. */
const STORED = "study.person";

export function Study() {
  const [version, setVersion] = useState(0);
  const session = running.value;
  const request = useRequest<Schemas["StudyState"]>(`study ${version}`, (signal) => get("/api/study", signal));
  const again = (): void => {
    session?.close();
    running.value = null;
    setVersion((now) => now + 1);
  };
  const { data: state, error } = request;
  const study = state?.study;
  const screen = error ? "failed" : !state ? "" : study ? "entry" : state.can_be_created ? "making" : "none";
  return (
    <div class="study-tab" data-drawn={(session ? session.drawn.value : screen) || undefined} data-next={session?.prepared.value || undefined}>
      {session && study ? (
        <QuestionView session={session} leave={again} forget={() => localStorage.removeItem(STORED)} />
      ) : (
        <>
          <Pending requests={[request]} what="Opening the study" />
          {study && (
            <div class="entry">
              <Welcome info={study} focus={version > 0} />
              <StudyResultsCard info={study} key={version} />
            </div>
          )}
          {state && !study && state.can_be_created && <CreateStudy created={again} />}
          {state && !study && !state.can_be_created && <p class="note">There is no study. Start the app with <code>--study FOLDER</code>.</p>}
        </>
      )}
    </div>
  );
}

/** The entry into a study: a name by which answers are kept, remembered for the next visit. */
function Welcome({ info, focus }: { info: Schemas["StudyInfo"]; focus: boolean }) {
  const id = useId();
  const [text, setText] = useState(() => localStorage.getItem(STORED) ?? "");
  const title = useRef<HTMLHeadingElement>(null);
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    if (focus) (text ? title : input).current!.focus();
  }, []);
  const total = info.pairs + info.ratings;
  const name = text.trim().split(/\s+/).join(" ").normalize("NFC");
  const known = info.people.find((one) => one.name === name);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!name) return;
    localStorage.setItem(STORED, name);
    running.value = new Session(name);
  };
  return (
    <section class="card begin">
      <h2 tabIndex={-1} ref={title}>Which map explains the prediction better?</h2>
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
          <button class="main large" type="submit">{!known ? "Start" : known.answered < total ? "Continue" : "Review answers"}</button>
        </div>
        <p class="note" aria-live="polite">{known && `${known.name} has answered ${known.answered} of ${total}.`}</p>
      </form>
    </section>
  );
}
