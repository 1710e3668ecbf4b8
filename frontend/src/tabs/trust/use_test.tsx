// A test that takes long: it starts by itself where it is quick, else it waits for a button.

import { useState } from "preact/hooks";
import type { Listener } from "../../api/stream";
import { stream } from "../../api/stream";
import { duration } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { ProgressBar } from "../../shared/progress_bar";
import { type RequestState, useRequest } from "../../shared/use_request";
import type { Subject } from "./schemas";

/** Seconds that a test may take without being asked for. */
const UNASKED_S = 8;

export interface Test<T> extends RequestState<T> {
  /** The result for the tested map; not of an earlier one. */
  result: T | null;
  waits: boolean;
  start: () => void;
}

export function useTest<T>(path: string, subject: Subject, seconds: number, event?: Listener["event"]): Test<T> {
  const [started, setStarted] = useState("");
  const starts = seconds <= UNASKED_S || started === subject.key;
  const state = useRequest<T>(
    starts ? subject.key : null,
    (signal, listener) => stream<T>(path, subject.request, listener, signal),
    event,
  );
  return {
    ...state,
    result: state.key === subject.key ? state.data : null,
    waits: !starts,
    start: () => setStarted(subject.key),
  };
}

/** The button that starts a test, its progress, or why it failed. */
export function TestControl<T>(props: { test: Test<T>; doing: string; button: string; what: string; seconds: number }) {
  const { test, doing, button, what, seconds } = props;
  return (
    <>
      {test.waits && (
        <div class="start">
          <p>
            {what}, about {duration(seconds)} here.
          </p>
          <button class="main" onClick={test.start}>
            {button}
          </button>
        </div>
      )}
      <div class="task">
        {test.busy && <ProgressBar what={doing} progress={test.progress} stop={test.stop} />}
        <ErrorMessage error={test.error} retry={test.retry} />
      </div>
    </>
  );
}
