// How far a long request is, and a button that stops it.

import type { Progress } from "./use_request";

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
