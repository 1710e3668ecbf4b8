// A and B: two of the maps over each other.

import { fill, h } from "../../dom";
import { fixed } from "../../numbers";
import { lookOf, type Page } from "../../page";
import { segments } from "../../parts/segments";
import { keyOf } from "./cells";
import type { Found } from "./found";
import { type Mode, MODES, Swipe } from "./swipe";
import type { Cell } from "./wire";
import { full, label, size } from "./words";

export class Pair {
  readonly element: HTMLElement;
  private readonly own;
  private readonly swipe;
  private readonly modes = segments("View of A and B", MODES, (name) =>
    this.own.set({ view: name === "swipe" ? "" : name }),
  );
  private readonly swap = h("button", { class: "quiet", onclick: () => this.turn() }, "Swap A and B");
  private readonly words = h("div", { class: "pairwords" });
  private now: [Cell, Cell] | null = null;
  private drawn: readonly unknown[] = [];

  constructor(private readonly page: Page) {
    this.own = page.store.own("compare");
    this.swipe = new Swipe(page.painter);
    this.element = h(
      "section",
      { class: "card pair", hidden: true },
      h("h2", {}, "A and B"),
      h("div", { class: "row modes" }, this.modes.element, this.swap),
      this.swipe.element,
      this.words,
    );
  }

  /** The two that are looked at: those of the link, or the first of two methods. */
  chosen(found: Found | null): [Cell | undefined, Cell | undefined] {
    const maps = found?.pictured ?? [];
    const of = (name: string): Cell | undefined => maps.find((cell) => keyOf(cell) === this.own.get(name));
    const a = of("a") ?? maps.find((cell) => cell !== of("b"));
    const others = maps.filter((cell) => cell !== a);
    const alike = (cell: Cell): boolean => cell.method !== a?.method && (!cell.target || cell.target === a?.target);
    const b = of("b");
    return [a, b && b !== a ? b : (others.find(alike) ?? others[0])];
  }

  /** A map was chosen in the grid: it becomes B; B becomes A. */
  choose(found: Found | null, key: string): void {
    const [a, b] = this.chosen(found).map((cell) => (cell ? keyOf(cell) : "")) as [string, string];
    if (key === b) this.own.set({ a: key, b: a });
    else if (key === a) this.page.say("This map is A already. Select another map as B.");
    else if (this.own.get("a") !== a) this.own.set({ a: key, b: b === key ? a : "" });
    else this.own.set({ b: key });
  }

  draw(found: Found): void {
    const [a, b] = this.chosen(found);
    this.element.hidden = !a || !b;
    this.now = a && b ? [a, b] : null;
    if (!a || !b) return this.swipe.rest();
    const mode = MODES.find(([name]) => name === this.own.get("view"))?.[0] ?? "swipe";
    this.modes.set(mode);
    this.look(found, a, b, mode);
    this.tell(found, a, b);
  }

  paint(): void {
    this.swipe.paint(lookOf(this.page));
  }

  /** Stop what moves. */
  rest(): void {
    this.swipe.rest();
    this.drawn = [];
  }

  private look(found: Found, a: Cell, b: Cell, mode: Mode): void {
    const now = [found, keyOf(a), keyOf(b), mode];
    if (now.every((one, i) => one === this.drawn[i])) return;
    this.drawn = now;
    const side = (cell: Cell) => ({ field: found.field(cell), words: label(found, cell) });
    this.swipe.set(found.image, side(a), side(b), lookOf(this.page), mode);
  }

  private tell(found: Found, a: Cell, b: Cell): void {
    const at = (cell: Cell): number => found.pictured.indexOf(cell);
    const value = found.whole?.correlation?.[at(a)]?.[at(b)];
    const none = "One of the maps is constant, so there is no rank correlation.";
    const line = (letter: string, cell: Cell): HTMLElement =>
      h("p", {}, h("b", { class: letter.toLowerCase() }, letter), ` ${full(cell)}, ${size(cell.map!)}`);
    fill(
      this.words,
      line("A", a),
      line("B", b),
      value !== undefined && h("p", {}, value === null ? none : `Rank correlation ${fixed(value)}.`),
      h("p", { class: "note" }, "Select a map in the grid as B; select B again to make it A."),
    );
  }

  private turn(): void {
    if (this.now) this.own.set({ a: keyOf(this.now[1]), b: keyOf(this.now[0]) });
  }
}
