// How far a long request is, with a button that stops it; or why it failed.

import { ErrorMessage } from "./error_message";
import { type Progress, type RequestState, STOPPED } from "./use_request";

export function ProgressBar(props: { what: string; progress: Progress | null; stop?: () => void }) {
  const { what, progress, stop } = props;
  return (
    <div class="progress">
      <span>{what} …</span>
      <progress aria-label={what} max={progress?.total} value={progress?.done} />
      {stop && <button onClick={stop}>Stop</button>}
    </div>
  );
}

/** What is awaited; displayed only if that takes longer than a moment. */
export const Waiting = ({ what }: { what: string }) => <p class="note waiting" role="status">{what} …</p>;

/** The state of a request that a button starts; one that was stopped is over without a word. */
export function TaskState({ what, request }: { what: string; request: RequestState<unknown> }) {
  const { busy, error, progress, stop, retry } = request;
  return (
    <div class="task">
      {busy && <ProgressBar what={what} progress={progress} stop={stop} />}
      {error && error.message !== STOPPED && <ErrorMessage error={error} retry={retry} />}
    </div>
  );
}
