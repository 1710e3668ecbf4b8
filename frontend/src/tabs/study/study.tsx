// Study: which of two maps do people prefer, without knowing the methods?

import "../../styles/study.css";
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { get } from "../../api/http";
import { ErrorMessage } from "../../shared/error_message";
import { Waiting } from "../../shared/progress_bar";
import { useRequest } from "../../shared/use_request";
import { CreateStudy } from "./create";
import { QuestionView } from "./question_view";
import type { StudyState } from "./schemas";
import { Session } from "./session";
import { StudyResultsCard } from "./study_results";
import { Welcome } from "./welcome";

/** The session that has begun; it goes on when the tab is displayed again. */
const running = signal<Session | null>(null);

export function Study() {
  const [version, setVersion] = useState(0);
  const session = running.value;
  const request = useRequest<StudyState>(`study ${version}`, (signal) => get<StudyState>("/api/study", signal));
  const again = (): void => {
    session?.close();
    running.value = null;
    setVersion((now) => now + 1);
  };
  const state = request.data;
  const study = state?.study;
  const screen = session
    ? session.drawn.value
    : request.error
      ? "failed"
      : !state
        ? undefined
        : study
          ? "entry"
          : state.can_be_created
            ? "making"
            : "none";
  return (
    <div class="study-tab" data-drawn={screen || undefined} data-next={session?.prepared.value || undefined}>
      {session && study ? (
        <QuestionView session={session} leave={again} />
      ) : (
        <>
          <ErrorMessage error={request.error} retry={request.retry} />
          {!state && !request.error && <Waiting what="Opening the study" />}
          {study && (
            <div class="entry">
              <Welcome info={study} focus={version > 0} start={(person) => void (running.value = new Session(person))} />
              <StudyResultsCard info={study} key={version} />
            </div>
          )}
          {state && !study && state.can_be_created && <CreateStudy created={again} />}
          {state && !study && !state.can_be_created && (
            <p class="note">There is no study. Start the app with --study FOLDER.</p>
          )}
        </>
      )}
    </div>
  );
}
