// Many buttons as one stop of the Tab key; arrow keys move from one to the nearest in that direction.

import { useLayoutEffect, useRef } from "preact/hooks";

const STEPS: Record<string, [number, number]> = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** A ref for the element that holds the buttons. The selected one (aria-selected or aria-pressed), or else the first, is the stop. */
export function useRovingFocus<E extends HTMLElement>(selector: string, moved?: (to: HTMLElement) => void) {
  const box = useRef<E>(null);
  const report = useRef(moved);
  report.current = moved;
  const setStop = (stop: HTMLElement | undefined): void => {
    for (const item of box.current!.querySelectorAll<HTMLElement>(selector)) item.tabIndex = item === stop ? 0 : -1;
  };
  useLayoutEffect(() => {
    const listening = new AbortController();
    const itemOf = (event: Event): HTMLElement | null => (event.target as HTMLElement).closest<HTMLElement>(selector);
    const keydown = (event: KeyboardEvent): void => {
      const from = itemOf(event);
      if (!from || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
      const all = [...box.current!.querySelectorAll<HTMLElement>(selector)];
      const to = event.key === "Home" ? all[0] : event.key === "End" ? all.at(-1) : next(from, all, event.key);
      if (to === undefined) return;
      event.preventDefault();
      if (!to) return;
      to.focus(); // it becomes the stop
      report.current?.(to);
    };
    box.current!.addEventListener("keydown", keydown, listening);
    const focusin = (event: FocusEvent): void => {
      const item = itemOf(event);
      if (item) setStop(item);
    };
    box.current!.addEventListener("focusin", focusin, listening);
    return () => listening.abort();
  }, [selector]);
  useLayoutEffect(() => {
    const all = [...box.current!.querySelectorAll<HTMLElement>(selector)];
    const focused = all.find((item) => item === document.activeElement);
    setStop(focused ?? all.find((item) => item.matches('[aria-selected="true"], [aria-pressed="true"]')) ?? all[0]);
  });
  return box;
}

/** Where an arrow key leads, at the end of a row to the next one; null for nowhere, undefined for other keys. */
function next(from: HTMLElement, all: HTMLElement[], key: string): HTMLElement | null | undefined {
  const step = STEPS[key];
  if (!step) return undefined;
  return nearest(from, all, step) ?? (step[0] ? (all[all.indexOf(from) + step[0]] ?? null) : null);
}

/** The item with the smallest distance ahead plus three times the distance to the side. */
function nearest(from: HTMLElement, all: HTMLElement[], [dx, dy]: [number, number]): HTMLElement | undefined {
  const here = from.getBoundingClientRect();
  // The distance of two intervals; 0 where they overlap.
  const gap = (a0: number, a1: number, b0: number, b1: number): number => Math.max(0, b0 - a1 + 1, a0 - b1 + 1);
  const ranked = all.map((item) => {
    const there = item.getBoundingClientRect();
    const ahead = dx
      ? dx * (there.left + there.width / 2 - here.left - here.width / 2)
      : dy * (there.top + there.height / 2 - here.top - here.height / 2);
    const aside = dx ? gap(here.top, here.bottom, there.top, there.bottom) : gap(here.left, here.right, there.left, there.right);
    return { item, ahead, distance: ahead + 3 * aside };
  });
  const ahead = ranked.filter((one) => one.item !== from && one.ahead >= 2);
  return ahead.sort((a, b) => a.distance - b.distance)[0]?.item;
}
