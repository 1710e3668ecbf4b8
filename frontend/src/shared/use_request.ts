// Requests of a component: of several, only the last counts. Progress, failure, retry and stop are part of their state.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { get, isOffline, online, post } from "../api/http";
import type { Listener } from "../api/stream";

export interface Progress {
  done: number;
  total: number;
}

interface State<T> {
  /** The last result; also while another request runs, or after one failed: `key` says which it belongs to. */
  data: T | null;
  key: string | null;
  error: Error | null;
  busy: boolean;
  progress: Progress | null;
}

export interface RequestState<T> extends State<T> {
  retry(): void;
  /** Abort it. It counts as failed with "Stopped." */
  stop(): void;
}

export const STOPPED = "Stopped.";
const BEGUN = { busy: true, error: null, progress: null };
const OVER = { busy: false, progress: null };

/**
 * Run a request whenever its key changes; null for none. `run` reports progress and events to the listener that it is
 * given, and stops at the signal. After a lost connection it runs again as soon as the server responds.
 */
export function useRequest<T>(
  key: string | null,
  run: (signal: AbortSignal, listener: Listener) => Promise<T>,
  event?: Listener["event"],
): RequestState<T> {
  const [state, setState] = useState<State<T>>({ data: null, key: null, error: null, ...OVER });
  const [attempt, setAttempt] = useState(0);
  const current = useRef<AbortController | null>(null);
  const sent = useRef<string | null>(null);
  const change = (patch: Partial<State<T>>): void => setState((s) => ({ ...s, ...patch }));
  const retry = (): void => setAttempt((n) => n + 1);
  const lost = state.error !== null && isOffline(state.error) && online.value;

  useLayoutEffect(() => {
    if (lost) retry();
  }, [lost]);

  useLayoutEffect(() => {
    current.current?.abort();
    sent.current = key;
    if (key === null) return setState((s) => (s.busy ? { ...s, ...OVER } : s));
    const controller = (current.current = new AbortController());
    const wanted = (): boolean => current.current === controller;
    change(BEGUN);
    const listener: Listener = {
      progress: (done, total) => wanted() && change({ progress: { done, total } }),
      event: (name, content) => wanted() && event?.(name, content),
    };
    run(controller.signal, listener).then(
      (data) => wanted() && change({ data, key, error: null, ...OVER }),
      (error: Error) => wanted() && !controller.signal.aborted && change({ error, ...OVER }),
    );
    return () => {
      controller.abort();
      if (wanted()) current.current = null;
    };
  }, [key, attempt]);

  // In the rendering in which the key changes the request has not begun; it counts as begun, so that what is displayed
  // until it is answered is not rendered without it in between.
  const starts = key !== null && sent.current !== key;
  const stop = (): void => {
    current.current?.abort();
    current.current = null;
    change({ error: new Error(STOPPED), ...OVER });
  };
  return { ...state, ...(starts && BEGUN), retry, stop };
}

export const useGet = <T>(path: string | null): RequestState<T> => useRequest<T>(path, (signal) => get<T>(path!, signal));

/** Milliseconds without a change after which a slow request is sent. */
const QUIET_MS = 300;

/**
 * Post a body that follows something that is dragged: one request at a time, and of the bodies that wait only the last;
 * null for nothing. A slow request waits until nothing moves any more, and aborts the running one. `asked` is the body that
 * the data belongs to.
 */
export function useCoalescedRequest<Q, T>(path: string, body: Q | null, slow: boolean) {
  const key = body === null ? null : JSON.stringify(body);
  const [sent, setSent] = useState<string | null>(null);
  const { data, error, busy, retry } = useRequest(sent, async (signal) => {
    const asked = JSON.parse(sent!) as Q;
    return { data: await post<T>(path, asked, signal), asked };
  });
  useLayoutEffect(() => {
    if (key === null || key === sent) return;
    if (!slow) {
      if (!busy) setSent(key);
      return;
    }
    setSent(null);
    const timer = setTimeout(() => setSent(key), QUIET_MS);
    return () => clearTimeout(timer);
  }, [key, slow, !slow && busy]);
  return { result: data, error, busy, retry };
}
