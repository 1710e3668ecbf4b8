// Many buttons as one stop of the Tab key; arrow keys go from one to the nearest in that direction.

const STEPS: Record<string, [number, number]> = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowDown: [0, 1],
  ArrowUp: [0, -1],
};

/** Let arrow keys walk through the buttons of a box that fit `selector`; `moved` is told where they have come to. */
export function roving(box: HTMLElement, selector: string, moved?: (to: HTMLElement) => void): void {
  box.addEventListener("keydown", (event) => {
    const from = (event.target as HTMLElement).closest<HTMLElement>(selector);
    if (!from || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const all = [...box.querySelectorAll<HTMLElement>(selector)];
    const to = event.key === "Home" ? all[0] : event.key === "End" ? all[all.length - 1] : next(from, all, event.key);
    if (to === undefined) return;
    event.preventDefault();
    to?.focus();
    if (to) moved?.(to);
  });
  box.addEventListener("focusin", (event) => {
    const now = (event.target as HTMLElement).closest<HTMLElement>(selector);
    if (now) stop(box, selector, now);
  });
}

/** Make this the one that Tab comes to; the first if none is given. */
export function stop(box: HTMLElement, selector: string, at?: HTMLElement | null): void {
  const all = [...box.querySelectorAll<HTMLElement>(selector)];
  const chosen = at && all.includes(at) ? at : all[0];
  for (const one of all) one.tabIndex = one === chosen ? 0 : -1;
}

/** Where an arrow leads, at the end of a line to the next one; null where there is nothing, undefined for other keys. */
function next(from: HTMLElement, all: HTMLElement[], key: string): HTMLElement | null | undefined {
  const step = STEPS[key];
  if (!step) return undefined;
  return nearest(from, all, step) ?? (step[0] ? (all[all.indexOf(from) + step[0]] ?? null) : null);
}

/** The middle of what is nearest ahead counts, and three times as much how far it is to the side. */
function nearest(from: HTMLElement, all: HTMLElement[], [dx, dy]: [number, number]): HTMLElement | null {
  const here = from.getBoundingClientRect();
  let best: HTMLElement | null = null;
  let least = Infinity;
  for (const one of all) {
    const there = one.getBoundingClientRect();
    const ahead = dx
      ? dx * (there.left + there.width / 2 - here.left - here.width / 2)
      : dy * (there.top + there.height / 2 - here.top - here.height / 2);
    if (one === from || ahead < 2) continue;
    const aside = dx
      ? gap(here.top, here.bottom, there.top, there.bottom)
      : gap(here.left, here.right, there.left, there.right);
    const far = ahead + 3 * aside;
    if (far < least) [least, best] = [far, one];
  }
  return best;
}

/** How far two stretches are apart; 0 where they overlap. */
const gap = (a0: number, a1: number, b0: number, b1: number): number => Math.max(0, b0 - a1 + 1, a0 - b1 + 1);
