// What failed, beside what it belongs to: read out, and with a way on.

import type { ComponentChildren } from "preact";
import { isAborted } from "../api/http";

export function ErrorMessage(props: { error: Error | null; retry?: () => void; children?: ComponentChildren }) {
  const { error, retry, children } = props;
  if (!error || isAborted(error)) return <div class="trouble" role="alert" />;
  const text = error.message;
  return (
    <div class="trouble" role="alert">
      <p>{text.charAt(0).toUpperCase() + text.slice(1)}</p>
      {retry && <button onClick={retry}>Retry</button>}
      {children}
    </div>
  );
}
