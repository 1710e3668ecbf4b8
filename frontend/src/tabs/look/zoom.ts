// Looking closer: several views of one picture in step. Buttons, keys, the wheel with Ctrl, two fingers, dragging.

import { h } from "../../dom";
import type { HeatView, Window } from "../../parts/heat";

const MOST = 16;
const STEP = 1.5;

export class Zoom {
  readonly element: HTMLElement;
  private window: Window = { k: 1, x: 0, y: 0 };
  private readonly level = h("output", { class: "soft" }, "1×");
  private readonly out: HTMLButtonElement;
  private readonly whole: HTMLButtonElement;

  constructor(
    private readonly views: readonly HeatView[],
    private readonly changed: (window: Window) => void,
  ) {
    const button = (sign: string, words: string, click: () => void): HTMLButtonElement =>
      h("button", { class: "sign", "aria-label": words, title: words, onclick: click }, sign);
    this.out = button("−", "Zoom out", () => this.by(1 / STEP));
    this.whole = button("⤢", "Whole image", () => this.reset());
    this.element = h(
      "div",
      { class: "zoom row", role: "group", "aria-label": "Zoom" },
      button("+", "Zoom in", () => this.by(STEP)),
      this.out,
      this.whole,
      this.level,
    );
    for (const view of views) this.hear(view);
    this.show();
  }

  /** Show this part of the picture, as far as there is one. */
  set(window: Window): void {
    const k = rounded(Math.min(Math.max(window.k, 1), MOST));
    const inside = (at: number): number => rounded(Math.min(Math.max(at, 0), 1 - 1 / k));
    const next = { k, x: inside(window.x), y: inside(window.y) };
    if (next.k === this.window.k && next.x === this.window.x && next.y === this.window.y) return;
    this.window = next;
    this.show();
    this.changed(next);
  }

  reset(): void {
    this.set({ k: 1, x: 0, y: 0 });
  }

  /** Nearer or further; what is at these shares of the frame stays there. */
  by(factor: number, atX = 0.5, atY = 0.5): void {
    const { k, x, y } = this.window;
    const next = Math.min(Math.max(k * factor, 1), MOST);
    this.set({ k: next, x: x + atX / k - atX / next, y: y + atY / k - atY / next });
  }

  private pan(dx: number, dy: number): void {
    const { k, x, y } = this.window;
    this.set({ k, x: x + dx / k, y: y + dy / k });
  }

  private show(): void {
    for (const view of this.views) view.zoom(this.window);
    const { k } = this.window;
    this.level.textContent = `${k < 9.95 ? Number(k.toFixed(1)) : Math.round(k)}×`;
    this.out.disabled = this.whole.disabled = k === 1;
  }

  private hear(view: HeatView): void {
    const frame = view.canvas.parentElement!;
    const share = (event: MouseEvent): [number, number] => {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    frame.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey) return; // the page scrolls
        event.preventDefault();
        this.by(Math.exp(-Math.min(Math.max(event.deltaY, -60), 60) / 100), ...share(event));
      },
      { passive: false },
    );
    const fingers = new Map<number, [number, number]>();
    view.canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, share(event));
      if (this.window.k > 1 || fingers.size > 1) view.canvas.setPointerCapture(event.pointerId);
    });
    view.canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = share(event);
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (other && fingers.size === 2) {
        const apart = (at: [number, number]): number => Math.hypot(at[0] - other[0], at[1] - other[1]);
        this.by(apart(now) / Math.max(apart(before), 0.01), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      } else if (this.window.k > 1) this.pan(before[0] - now[0], before[1] - now[1]);
      fingers.set(event.pointerId, now);
    });
    for (const end of ["pointerup", "pointercancel"] as const)
      view.canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
    view.canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const pans = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
      const pan = event.shiftKey ? pans[event.key as keyof typeof pans] : undefined;
      if (event.key === "+" || event.key === "=") this.by(STEP);
      else if (event.key === "-") this.by(1 / STEP);
      else if (event.key === "0") this.reset();
      else if (pan) this.pan(pan[0]!, pan[1]!);
      else return;
      event.preventDefault();
    });
  }
}

/** As an address has it, so that a link brings the very same part back. */
const rounded = (number: number): number => Number(number.toFixed(4));

/** A part of the picture as text, and back; the whole picture is no text. */
export const written = ({ k, x, y }: Window): string => (k === 1 ? "" : [k, x, y].join(","));

export function read(text: string | undefined): Window {
  const [k, x, y] = (text ?? "").split(",").map(Number);
  return k && Number.isFinite(k) ? { k, x: x || 0, y: y || 0 } : { k: 1, x: 0, y: 0 };
}
