import { h, render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { useCoalescedRequest } from "../src/shared/use_request";

interface Sent {
  body: { x: number };
  signal: AbortSignal;
  answer(): Promise<void>;
}

let sent: Sent[];
let state: ReturnType<typeof useCoalescedRequest<{ x: number }, { twice: number }>>;
const host = document.createElement("div");

function Probe({ x, slow }: { x: number | null; slow: boolean }) {
  state = useCoalescedRequest("/api/double", x === null ? null : { x }, slow);
  return null;
}
const show = (x: number | null, slow = false): Promise<void> => act(() => render(h(Probe, { x, slow }), host));

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  vi.stubGlobal("fetch", (_: string, { body, signal }: { body: string; signal: AbortSignal }) => {
    const parsed = JSON.parse(body) as { x: number };
    return new Promise((done, fail) => {
      signal.addEventListener("abort", () => fail(new DOMException("stopped", "AbortError")));
      const answer = (): Promise<void> =>
        act(async () => {
          done({ ok: true, json: async () => ({ twice: 2 * parsed.x }) });
          await vi.advanceTimersByTimeAsync(0); // until all that follows from the answer is done
        });
      sent.push({ body: parsed, signal, answer });
    });
  });
});
afterEach(() => {
  render(null, host);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a request that follows something that is dragged", () => {
  it("is sent one at a time, and of those that wait only the last", async () => {
    for (const x of [1, 2, 3, 4]) await show(x);
    expect(sent.map((one) => one.body.x)).toEqual([1]);
    expect(sent[0]!.signal.aborted).toBe(false);
    await sent[0]!.answer();
    expect(state.result).toEqual({ data: { twice: 2 }, asked: { x: 1 } });
    expect(sent.map((one) => one.body.x)).toEqual([1, 4]);
    await sent[1]!.answer();
    expect(state.result).toEqual({ data: { twice: 8 }, asked: { x: 4 } });
    expect(state.busy).toBe(false);
  });

  it("waits until nothing moves if it is slow, and aborts the running one", async () => {
    await show(1, true);
    await act(() => void vi.advanceTimersByTime(400));
    expect(sent.map((one) => one.body.x)).toEqual([1]);
    for (const x of [2, 3]) {
      await show(x, true);
      await act(() => void vi.advanceTimersByTime(100));
    }
    expect(sent[0]!.signal.aborted).toBe(true);
    expect(sent).toHaveLength(1);
    await act(() => void vi.advanceTimersByTime(400));
    expect(sent.map((one) => one.body.x)).toEqual([1, 3]);
    await sent[1]!.answer();
    expect(state.result?.data).toEqual({ twice: 6 });
  });

  it("is not sent for nothing", async () => {
    await show(null);
    await act(() => void vi.advanceTimersByTime(400));
    expect(sent).toHaveLength(0);
  });
});
