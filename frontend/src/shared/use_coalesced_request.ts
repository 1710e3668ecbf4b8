// A request that follows something that is dragged: one at a time, and of those that wait only the last.

import { useEffect, useRef, useState } from "preact/hooks";
import { isAborted, post } from "../api/http";

const QUIET_MS = 300;

class Coalesced<Q, T> {
  private running: AbortController | null = null;
  private waiting: Q | null = null;
  private timer = 0;

  constructor(
    private readonly path: string,
    private readonly done: (answer: T, asked: Q) => void,
    private readonly failed: (error: Error) => void,
    private readonly busy: (now: boolean) => void,
  ) {}

  /** Send it, or be the next. A slow request waits until nothing moves any more, and aborts the running one. */
  send(body: Q, slow: boolean): void {
    this.waiting = body;
    clearTimeout(this.timer);
    if (!slow) {
      if (!this.running) void this.next();
      return;
    }
    this.running?.abort();
    this.timer = window.setTimeout(() => void this.next(), QUIET_MS);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.waiting = null;
    this.running?.abort();
    this.running = null;
  }

  private async next(): Promise<void> {
    const body = this.waiting;
    if (body === null) return;
    this.waiting = null;
    const controller = (this.running = new AbortController());
    this.busy(true);
    try {
      const answer = await post<T>(this.path, body, controller.signal);
      if (this.running === controller) this.done(answer, body);
    } catch (error) {
      if (this.running === controller && !isAborted(error)) this.failed(error as Error);
    }
    if (this.running !== controller) return;
    this.running = null;
    this.busy(false);
    void this.next();
  }
}

/** Post a body whenever it changes; null for nothing. `asked` is the body that the data belongs to. */
export function useCoalescedRequest<Q, T>(path: string, body: Q | null, slow: boolean) {
  const [result, setResult] = useState<{ data: T; asked: Q } | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const request = useRef<Coalesced<Q, T> | null>(null);
  request.current ??= new Coalesced<Q, T>(
    path,
    (data, asked) => {
      setError(null);
      setResult({ data, asked });
    },
    setError,
    setBusy,
  );
  useEffect(() => {
    if (body !== null) request.current!.send(body, slow);
  }, [JSON.stringify(body), attempt]);
  useEffect(() => () => request.current!.stop(), []);
  return { result, error, busy, retry: () => setAttempt((n) => n + 1) };
}
