// How alike maps rank the places of a picture: a table of all pairs, or one map against all, in numbers and words.

import { fill, h } from "../../dom";
import { fixed } from "../../numbers";
import { roving, stop } from "../../parts/roving";

const LARGE = 20;

export interface Pair {
  one: number;
  other: number;
  value: number;
}

/** The pairs that have a correlation, from the most alike to the least. */
export function ordered(table: readonly (readonly (number | null)[])[]): Pair[] {
  const pairs: Pair[] = [];
  table.forEach((row, one) =>
    row.forEach((value, other) => {
      if (other < one && value !== null) pairs.push({ one: other, other: one, value });
    }),
  );
  return pairs.sort((a, b) => b.value - a.value);
}

export class Matrix {
  readonly element = h("div", { class: "matrix" });

  /** `choose` is told the numbers of two maps to be looked at. */
  constructor(private readonly choose: (one: number, other: number) => void) {
    roving(this.element, "button.pair");
  }

  set(table: readonly (readonly (number | null)[])[], names: readonly string[], a: number, b: number): void {
    const pairs = ordered(table);
    const best = pairs[0];
    const last = pairs[pairs.length - 1];
    const said: HTMLElement[] = [];
    if (best && last && pairs.length > 1) {
      said.push(this.told("Most similar", best, names), this.told("Least similar", last, names));
    } else if (best) said.push(this.told("Rank correlation", best, names));
    const flat = names.filter((_, i) => table[i]![i] === null);
    if (flat.length) said.push(h("p", { class: "note" }, `Constant maps, which cannot be ranked: ${flat.join(", ")}.`));
    const held = this.element.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset.pair
      : undefined;
    fill(this.element, ...said, names.length > LARGE ? this.against(table, names, a) : this.square(table, names, a, b));
    const again = held ? this.element.querySelector<HTMLElement>(`[data-pair="${held}"]`) : null;
    stop(this.element, "button.pair", again ?? this.element.querySelector<HTMLElement>("[aria-pressed=true]"));
    again?.focus();
  }

  private told(what: string, { one, other, value }: Pair, names: readonly string[]): HTMLElement {
    return h("p", { class: "told" }, h("b", {}, `${what}: `), `${names[one]} and ${names[other]}, ${fixed(value)}.`);
  }

  /** All pairs: below the diagonal, since the other half says the same. */
  private square(table: readonly (readonly (number | null)[])[], names: readonly string[], a: number, b: number): HTMLElement {
    const last = names.length - 1;
    const head = names.slice(0, last).map((name, i) => h("th", { scope: "col", title: name }, String(i + 1)));
    const rows = names.slice(1).map((name, i) => {
      const row = i + 1;
      const cells = names.slice(0, last).map((_, column) =>
        column < row ? h("td", {}, this.cell(table[row]![column]!, row, column, names, a, b)) : h("td", { class: "none" }),
      );
      return h("tr", {}, h("th", { scope: "row" }, h("span", { class: "nth" }, String(row + 1)), name), ...cells);
    });
    const first = h("p", { class: "note first" }, h("span", { class: "nth" }, "1"), names[0]!);
    return h(
      "div",
      {},
      h(
        "div",
        { class: "matrixbox" },
        h(
          "table",
          { "aria-label": "Rank correlation of all pairs of maps" },
          h("thead", {}, h("tr", {}, h("td", {}, first), ...head)),
          h("tbody", {}, ...rows),
        ),
      ),
    );
  }

  /** One map against all the others, where a table of all pairs would be too large to be read. */
  private against(table: readonly (readonly (number | null)[])[], names: readonly string[], a: number): HTMLElement {
    const from = Math.max(0, a);
    const others = names
      .map((name, i) => ({ name, i, value: table[from]![i] ?? null }))
      .filter(({ i }) => i !== from)
      .sort((one, other) => (other.value ?? -2) - (one.value ?? -2));
    return h(
      "div",
      {},
      h("p", { class: "note" }, `Too many maps for a matrix: A, ${names[from]}, with each of the others.`),
      h(
        "div",
        { class: "matrixbox list" },
        h(
          "table",
          {},
          h("tbody", {}, ...others.map(({ name, i, value }) =>
            h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, this.cell(value, i, from, names, -1, -1))),
          )),
        ),
      ),
    );
  }

  private cell(
    value: number | null,
    row: number,
    column: number,
    names: readonly string[],
    a: number,
    b: number,
  ): HTMLElement {
    const text = value === null ? "–" : fixed(value);
    const button = h(
      "button",
      {
        class: "pair",
        "data-pair": `${row}-${column}`,
        "aria-label": `${names[column]} and ${names[row]}: ${value === null ? "none" : text}`,
        title: `${names[column]} and ${names[row]}`,
        "aria-pressed": String((a === row && b === column) || (a === column && b === row)),
        onclick: () => this.choose(column, row),
      },
      text,
    );
    if (value !== null) {
      const strength = Math.round(55 * Math.abs(value));
      button.style.background = `color-mix(in oklab, var(${value < 0 ? "--first" : "--second"}) ${strength}%, var(--paper))`;
    }
    return button;
  }
}
