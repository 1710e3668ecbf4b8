// Two maps over one photo: a divider between them, one after the other, their difference, or side by side.

import { fill, h } from "../../dom";
import type { Field } from "../../maps/field";
import type { Look, Painter } from "../../maps/painter";
import { percent, short } from "../../numbers";
import { HeatView, linked } from "../../parts/heat";
import { Difference } from "./scaled";

export type Mode = "swipe" | "flicker" | "difference" | "side";
export const MODES: readonly (readonly [Mode, string])[] = [
  ["swipe", "Swipe"],
  ["flicker", "Flicker"],
  ["difference", "Difference"],
  ["side", "Side by side"],
];
/** Milliseconds that one map is shown: slower than three changes a second, which can harm. */
const PACE = 700;

export interface Side {
  field: Field;
  words: string;
}

export class Swipe {
  readonly element = h("div", { class: "swipe" });
  private readonly below: HeatView;
  private readonly above: HeatView;
  private readonly difference: HeatView;
  private readonly left: HeatView;
  private readonly right: HeatView;
  private readonly stage: HTMLElement;
  private readonly divider: HTMLElement;
  private readonly tags: [HTMLElement, HTMLElement];
  private readonly flicker = h("div", { class: "row" });
  private readonly reading = h("output", { class: "values" });
  private readonly still = window.matchMedia("(prefers-reduced-motion: reduce)");
  private mode: Mode = "swipe";
  private place = 50;
  private showsB = false;
  private timer = 0;
  private sides: [Side, Side] | null = null;
  private tops: [number, number] = [1, 1];

  constructor(painter: Painter) {
    const view = (): HeatView => new HeatView("overlay", painter);
    [this.below, this.above, this.difference, this.left, this.right] = [view(), view(), view(), view(), view()];
    this.divider = h(
      "div",
      {
        class: "divider",
        role: "slider",
        tabindex: 0,
        "aria-label": "Divider between A and B",
        "aria-orientation": "horizontal",
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        onkeydown: (event: KeyboardEvent) => this.key(event),
      },
      h("span", { class: "grip", "aria-hidden": "true" }, "⇔"),
    );
    this.tags = [h("span", { class: "tag a", "aria-hidden": "true" }, "A"), h("span", { class: "tag b", "aria-hidden": "true" }, "B")];
    this.stage = h(
      "div",
      {
        class: "stage",
        onpointerdown: (event: PointerEvent) => this.grab(event),
        onpointermove: (event: PointerEvent) => this.move(event),
        onpointerleave: () => this.read(null, null),
        onkeydown: (event: KeyboardEvent) => this.space(event),
      },
      this.below.canvas,
      this.above.canvas,
      ...this.tags,
      this.divider,
    );
    this.above.canvas.classList.add("above");
    linked([this.left, this.right]);
    this.difference.onpoint = (x, y) => this.read(x, y);
    this.still.addEventListener("change", () => this.show(this.mode));
    this.slide(this.place);
  }

  /** Two maps of one photo, and how to look at them. */
  set(image: HTMLImageElement, a: Side, b: Side, look: Look, mode: Mode): void {
    this.sides = [a, b];
    this.tops = [a.field.top, b.field.top];
    this.below.set(image, a.field, look, `A: ${a.words}`);
    this.above.set(image, b.field, look, `B: ${b.words}`);
    this.left.set(image, a.field, look, `A: ${a.words}`);
    this.right.set(image, b.field, look, `B: ${b.words}`);
    const palette = { ...look, colormap: "signed" };
    const difference = new Difference(a.field, b.field);
    const words = `Red: higher in A. Blue: higher in B. The positive part of each map is divided by its maximum; the largest difference is ${difference.most.toFixed(2)}.`;
    this.difference.set(image, difference, palette, words);
    this.read(null, null);
    this.show(mode);
  }

  paint(look: Look): void {
    for (const view of [this.below, this.above, this.left, this.right]) view.paint(look);
    this.difference.paint({ ...look, colormap: "signed" });
  }

  /** Stop what moves. */
  rest(): void {
    clearInterval(this.timer);
    this.timer = 0;
    if (this.mode === "flicker") this.switches();
  }

  private show(mode: Mode): void {
    const other = mode !== this.mode;
    this.mode = mode;
    clearInterval(this.timer);
    this.timer = 0;
    this.element.dataset.mode = mode;
    this.divider.hidden = mode !== "swipe";
    if (other || !this.element.firstChild) {
      if (mode === "side") fill(this.element, h("div", { class: "sides" }, this.left.element, this.right.element));
      else if (mode === "difference") fill(this.element, this.difference.element, this.reading);
      else fill(this.element, this.stage, mode === "flicker" ? this.flicker : null, this.reading);
    }
    if (mode === "flicker") {
      this.stage.tabIndex = 0;
      this.stage.setAttribute("role", "group");
      this.stage.setAttribute("aria-label", "A and B in turn; the space bar toggles");
      this.clip(this.showsB ? 0 : 100);
      if (!this.still.matches) this.run();
      this.switches();
    } else {
      this.stage.removeAttribute("tabindex");
      this.stage.removeAttribute("role");
      this.stage.removeAttribute("aria-label");
      this.slide(this.place);
    }
  }

  private run(): void {
    this.timer = window.setInterval(() => this.turn(!this.showsB), PACE);
  }

  private turn(toB: boolean): void {
    this.showsB = toB;
    this.clip(toB ? 0 : 100);
    this.stage.dataset.shows = toB ? "B" : "A";
    const button = this.flicker.querySelector<HTMLElement>(".turn");
    if (button) button.textContent = `Show ${toB ? "A" : "B"}`;
  }

  /** The buttons under the picture: nothing moves by itself where motion is not wanted. */
  private switches(): void {
    const runs = h(
      "button",
      { class: "runs", "aria-pressed": String(this.timer !== 0), onclick: () => this.toggle() },
      this.timer ? "Stop" : "Flicker",
    );
    const turn = h("button", { class: "turn", onclick: () => this.turn(!this.showsB) }, "");
    fill(this.flicker, this.still.matches ? null : runs, this.timer ? null : turn, h("span", { class: "note" }, "Or press the space bar."));
    this.turn(this.showsB);
  }

  private toggle(): void {
    if (this.still.matches) return this.turn(!this.showsB);
    if (this.timer) clearInterval(this.timer);
    this.timer = this.timer ? 0 : -1;
    if (this.timer) this.run();
    this.switches();
    this.flicker.querySelector<HTMLElement>(".runs")?.focus();
  }

  private space(event: KeyboardEvent): void {
    if (this.mode !== "flicker" || event.key !== " ") return;
    event.preventDefault();
    const stays = document.activeElement === this.stage;
    this.toggle();
    if (stays) this.stage.focus();
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
    const by = step[event.key as keyof typeof step];
    if (by === undefined) return;
    event.preventDefault();
    this.slide(this.place + by);
  }

  /** The divider at so many hundredths of the width: A to its left, B to its right. */
  private slide(place: number): void {
    this.place = Math.min(100, Math.max(0, place));
    this.divider.style.left = `${this.place}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(this.place)));
    this.divider.setAttribute("aria-valuetext", `A ${Math.round(this.place)} %, B ${Math.round(100 - this.place)} %`);
    this.clip(this.place);
  }

  /** Let B be seen from there on to the right. */
  private clip(place: number): void {
    this.above.canvas.style.clipPath = `inset(0 0 0 ${place}%)`;
    this.tags[0].hidden = place < 8;
    this.tags[1].hidden = place > 92;
  }

  private grab(event: PointerEvent): void {
    if (this.mode !== "swipe" || event.button !== 0) return;
    this.stage.setPointerCapture(event.pointerId);
    this.divider.focus({ preventScroll: true });
    this.move(event);
    event.preventDefault();
  }

  private move(event: PointerEvent): void {
    const box = this.below.canvas.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    if (this.mode === "swipe" && this.stage.hasPointerCapture(event.pointerId)) this.slide(100 * across);
    if (!this.sides) return;
    const [width, height] = this.sides[0].field.place.original;
    this.read(across * width, ((event.clientY - box.top) / box.height) * height);
  }

  /** What both maps say at a point of the picture. */
  private read(x: number | null, y: number | null): void {
    if (x === null || y === null || !this.sides) {
      this.reading.textContent = "Hover over the image to read both maps.";
      return;
    }
    const told = this.sides.map(({ field }, i) => {
      const value = field.at(x, y);
      const share = value / (this.tops[i] || 1);
      const told = Number.isNaN(value) ? "" : ` (${share < 0 ? `−${percent(-share)}` : percent(share)})`;
      return `${i ? "B" : "A"} ${short(value)}${told}`;
    });
    this.reading.textContent = `${told.join(" · ")}, in the units of each map and as a fraction of its maximum`;
  }
}
