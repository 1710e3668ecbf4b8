// A table of maps over one photo. Its cells can be chosen; they are painted a few at a time, so that the page answers.

import { fill, h } from "../../dom";
import type { Field } from "../../maps/field";
import type { Look, Painter } from "../../maps/painter";
import { drawPhoto as photo, photoSize as sizeOf } from "../../shared/photo";
import { roving, stop } from "../../parts/roving";
import { keyOf, type Layout, type Placed } from "./cells";
import type { Cell } from "./wire";

/** What a header says: the value, and a line below it. */
export interface Words {
  title: string;
  below?: string;
}

/** Words for a value of an axis; of one model, where a row is about that one. */
export type Worded = (axis: Layout["across"], value: string, model?: string) => Words;

export interface Shown {
  image: HTMLImageElement;
  layout: Layout;
  fields: ReadonlyMap<string, Field>;
  look: Look;
  words: Worded;
  /** The line under a map. */
  caption(cell: Cell): string;
  /** All that a map is, for those who cannot see where it stands. */
  name(cell: Cell): string;
  /** Whether what is missing may still come. */
  waiting: boolean;
}

const FINE = 320;
const COARSE = 200;
const MANY = 40;
/** Milliseconds of painting before the page may do something else. */
const TURN = 12;

export class MapGrid {
  readonly element = h("div", { class: "gridbox", role: "group", "aria-label": "Maps" });
  private readonly table = h("table", { class: "grid" });
  private readonly canvases = new Map<string, HTMLCanvasElement>();
  private shown: Shown | null = null;
  private chosen: [string, string] = ["", ""];
  private turn = 0;
  /** Told when all maps are on the screen. */
  ondrawn: (() => void) | null = null;

  constructor(
    private readonly painter: Painter,
    choose: (key: string) => void,
  ) {
    this.element.append(this.table);
    this.table.addEventListener("click", (event) => {
      const key = (event.target as HTMLElement).closest<HTMLElement>("button.cell")?.dataset.key;
      if (key) choose(key);
    });
    roving(this.table, "button.cell");
  }

  /** Draw the table anew. */
  set(shown: Shown): void {
    const held = (document.activeElement as HTMLElement | null)?.dataset.key;
    const inside = this.table.contains(document.activeElement);
    this.shown = shown;
    this.canvases.clear();
    const { layout } = shown;
    const side = shown.fields.size > MANY ? COARSE : FINE;
    this.table.style.setProperty("--columns", String(layout.columns.length));
    const body = layout.rows.map((_, i) => this.row(i, side));
    fill(this.table, this.head(), h("tbody", {}, ...body));
    this.mark();
    const again = inside && held ? this.button(held) : null;
    stop(this.table, "button.cell", again ?? this.button(this.chosen[0]));
    again?.focus();
    this.paint(shown.look, shown.fields);
  }

  /** Only paint the maps otherwise. */
  paint(look: Look, fields: ReadonlyMap<string, Field>): void {
    if (!this.shown) return;
    this.shown = { ...this.shown, look, fields };
    const mine = ++this.turn;
    const waiting = [...this.canvases];
    const bases = new Map<string, ImageData>();
    const go = (): void => {
      if (mine !== this.turn) return;
      const began = performance.now();
      while (waiting.length && performance.now() - began < TURN) {
        const [key, canvas] = waiting.shift()!;
        this.draw(canvas, this.shown!.fields.get(key), bases);
      }
      if (waiting.length) requestAnimationFrame(go);
      else this.ondrawn?.();
    };
    requestAnimationFrame(go);
  }

  /** Frame the two that are looked at. */
  select(a: string, b: string): void {
    this.chosen = [a, b];
    this.mark();
  }

  /** The map as it is on the screen. */
  canvas(cell: Cell): HTMLCanvasElement | undefined {
    return this.canvases.get(keyOf(cell));
  }

  private head(): HTMLElement {
    const { layout, words } = this.shown!;
    const names = layout.columns.map((value) => header("col", [words(layout.across, value)]));
    return h("thead", {}, h("tr", {}, layout.down.length ? h("td", { class: "corner" }) : null, ...names));
  }

  /** With empty places where there is nothing, so that what follows stands in its column. */
  private row(number: number, side: number): HTMLElement {
    const { layout, words } = this.shown!;
    const said = rowWords(layout, number, words);
    const starting = layout.placed.filter((one) => one.row === number).sort((one, other) => one.column - other.column);
    const made: HTMLElement[] = [];
    for (let column = 0; column < layout.columns.length; column++) {
      const here = starting.find((one) => one.column === column);
      if (here) {
        made.push(this.place(here, side));
        column += here.columns - 1;
      } else if (!this.covered(number, column)) made.push(h("td", { class: "none" }));
    }
    return h("tr", {}, layout.down.length ? header("row", said) : null, ...made);
  }

  /** Whether a cell from further up reaches down to here. */
  private covered(row: number, column: number): boolean {
    return this.shown!.layout.placed.some(
      (one) => one.row < row && row < one.row + one.rows && one.column <= column && column < one.column + one.columns,
    );
  }

  private place({ cell, rows, columns, again }: Placed, side: number): HTMLElement {
    const spans = rows > 1 || columns > 1 ? " spans" : "";
    const span = { class: spans, rowspan: rows > 1 ? rows : null, colspan: columns > 1 ? columns : null };
    const why = { ...span, class: `why${spans}` };
    if (again) return h("td", why, h("span", {}, "as above"));
    if (cell.error) return h("td", why, h("span", {}, cell.error));
    const key = keyOf(cell);
    if (!cell.map) return h("td", why, h("span", {}, this.shown!.waiting ? "…" : "not computed"));
    const [width, height] = sizeOf(this.shown!.image, side);
    const canvas = h("canvas", { width, height, "aria-hidden": "true" });
    this.canvases.set(key, canvas);
    const button = h(
      "button",
      { class: "cell", "data-key": key, "data-name": this.shown!.name(cell) },
      canvas,
      h("span", { class: "badge", "aria-hidden": "true" }),
      h("span", { class: "score" }, this.shown!.caption(cell)),
    );
    return h("td", span, button);
  }

  private mark(): void {
    for (const button of this.table.querySelectorAll<HTMLElement>("button.cell")) {
      const which = button.dataset.key === this.chosen[0] ? "A" : button.dataset.key === this.chosen[1] ? "B" : "";
      button.dataset.is = which;
      button.setAttribute("aria-pressed", String(which !== ""));
      button.setAttribute("aria-label", `${which ? `${which}: ` : ""}${button.dataset.name}`);
      button.querySelector(".badge")!.textContent = which;
    }
  }

  private button(key: string): HTMLElement | null {
    return [...this.table.querySelectorAll<HTMLElement>("button.cell")].find((one) => one.dataset.key === key) ?? null;
  }

  private draw(canvas: HTMLCanvasElement, field: Field | undefined, bases: Map<string, ImageData>): void {
    const { image, look } = this.shown!;
    const { width, height } = canvas;
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    const size = `${width} ${height}`;
    let base = bases.get(size);
    if (!base) {
      photo(context, image, width, height);
      base = context.getImageData(0, 0, width, height);
      bases.set(size, base);
    }
    const copy = new ImageData(new Uint8ClampedArray(base.data), width, height);
    context.putImageData(field && look.opacity > 0 ? this.painter.over(copy, field, look) : copy, 0, 0);
  }
}

/** What a row is about. */
export function rowWords(layout: Layout, number: number, words: Worded): Words[] {
  const row = layout.rows[number]!;
  const model = row[layout.down.indexOf("model")] ?? undefined;
  return row.flatMap((value, d) => (value === null ? [] : [words(layout.down[d]!, value, model)]));
}

function header(scope: "row" | "col", said: Words[]): HTMLElement {
  return h(
    "th",
    { scope },
    ...said.map(({ title, below }) =>
      h("div", { class: "value" }, h("span", {}, title), below ? h("span", { class: "below" }, below) : null),
    ),
  );
}
