// Which class is taken for which, as a table of numbers that can be chosen.

import { h } from "../../dom";
import { roving, stop } from "../../parts/roving";
import type { Matrix } from "./wire";

type Row = Matrix["rows"][number];
type Column = Matrix["columns"][number];

export function table(found: Matrix, chosen: string, choose: (cell: string) => void): HTMLElement {
  const box = h(
    "div",
    { class: "scroller" },
    h(
      "table",
      {},
      h(
        "caption",
        { class: "note" },
        "Rows: true classes. The shade is the fraction of the row. Select a cell to see its images; the arrow keys move ",
        "between cells.",
      ),
      h("thead", {}, head(found)),
      h("tbody", {}, ...found.rows.map((_, i) => line(found, i, choose))),
    ),
  );
  roving(box, "button");
  press(box, chosen);
  stop(box, "button", box.querySelector<HTMLElement>(`[data-cell="${CSS.escape(chosen)}"]`));
  return box;
}

/** Show which one is chosen. */
export function press(box: HTMLElement, chosen: string): void {
  for (const button of box.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.cell === chosen));
}

const withOthers = (found: Matrix): boolean => found.rows.some((row) => row.others > 0);

function head(found: Matrix): HTMLElement {
  return h(
    "tr",
    {},
    h("td", { class: "corner" }, h("span", {}, "true ↓"), h("span", {}, "predicted →")),
    ...found.columns.map((one) => h("th", { scope: "col", title: one.name }, h("span", {}, one.name))),
    withOthers(found) && h("th", { scope: "col" }, h("span", {}, "others")),
    h("th", { scope: "col" }, h("span", {}, "all")),
  );
}

function line(found: Matrix, i: number, choose: (cell: string) => void): HTMLElement {
  const row = found.rows[i]!;
  const cells = found.columns.map((column, j) => {
    const count = found.counts[i]![j]!;
    const kind = row.output === column.output ? "right" : "wrong";
    const made = h("td", { class: kind }, count > 0 && cell(row, column, count, choose));
    if (count) made.style.setProperty("--depth", `${Math.round(8 + 42 * Math.sqrt(count / row.total))}%`);
    return made;
  });
  return h(
    "tr",
    {},
    h("th", { scope: "row", title: row.name }, row.name),
    ...cells,
    withOthers(found) && h("td", { class: "sum" }, row.others || ""),
    h("td", { class: "sum" }, row.total),
  );
}

function cell(row: Row, column: Column, count: number, choose: (cell: string) => void): HTMLElement {
  const which = `${row.output}-${column.output}`;
  const what = row.output === column.output ? ": correct" : `, predicted as ${column.name}`;
  const words = `${count} of ${row.total} ${row.name}${what}`;
  return h("button", { "data-cell": which, "aria-label": words, title: words, onclick: () => choose(which) }, count);
}
