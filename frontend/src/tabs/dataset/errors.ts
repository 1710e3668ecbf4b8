// The wrong answers as a table, the most confident first; each opens both maps. The maps of right answers beside wrong ones.

import { get } from "../../api/http";
import { imageUrl } from "../../api/images";
import { fill, h, settled } from "../../dom";
import { counted, digits, percent } from "../../numbers";
import type { Page } from "../../page";
import { Trouble } from "../../parts/trouble";
import { Turns } from "../../turns";
import { Pairs } from "./pair";
import type { Part } from "./part";
import { ways } from "./ways";
import { type Overall, query, type Range, type RunInfo, type Said, type SaidList } from "./wire";

const SIZE = 20;
const COLUMNS: { sort: string; text: string; falling: boolean }[] = [
  { sort: "name", text: "image", falling: false },
  { sort: "label", text: "true", falling: false },
  { sort: "predicted", text: "predicted", falling: false },
  { sort: "confidence", text: "confidence", falling: true },
  { sort: "rank", text: "rank of the label", falling: true },
];

export function errors(page: Page): Part {
  const find = h("input", { type: "search", placeholder: "Find by name or class", "aria-label": "Find errors by name or class", maxlength: 100 });
  const download = h("a", { class: "download", download: "predictions.csv" }, "All rows as CSV");
  const count = h("p", { class: "count", "aria-live": "polite" });
  const trouble = new Trouble();
  const table = h("div");
  const paging = h("div", { class: "row paging" });
  const contrasts = h("div");
  const element = h("div", { class: "errors" }, h("div", { class: "row top" }, count, find, download), trouble.element, table, paging, contrasts);
  let run: RunInfo | null = null;
  const turns = new Turns();
  let signal = turns.begin();
  let how = { sort: "confidence", descending: true, offset: 0 };
  let shown = "";
  const opened: { pairs: Pairs; fold(): void }[] = [];

  function show(next: RunInfo): void {
    if (run?.id !== next.id) {
      signal = turns.begin();
      run = next;
      how = { sort: "confidence", descending: true, offset: 0 };
      find.value = "";
      shown = "";
      download.setAttribute("href", query("rows.csv", { run: next.id }));
      fill(contrasts);
      void compare(next, signal);
    }
    void load();
  }

  async function load(): Promise<void> {
    const path = query("errors", { run: run!.id, ...how, find: find.value, n: SIZE });
    if (path === shown) return;
    shown = path;
    try {
      const found = await get<SaidList>(path, signal);
      if (shown === path) draw(found);
      trouble.clear();
    } catch (error) {
      if (shown === path) shown = "";
      trouble.tell(error);
    }
  }

  async function compare(of: RunInfo, wanted: AbortSignal): Promise<void> {
    try {
      const found = await get<Overall>(query("overall", { run: of.id }), wanted);
      if (run?.id === of.id) fill(contrasts, ...beside(found));
    } catch (error) {
      trouble.tell(error);
    }
  }

  function draw(found: SaidList): void {
    for (const { pairs } of opened.splice(0)) pairs.stop();
    const searched = find.value.trim() !== "";
    fill(count, `${counted(found.total, "wrong prediction")}${searched ? " found" : ""}${found.total && how.sort === "confidence" && how.descending ? ", the most confident first" : ""}.`);
    if (!found.items.length) {
      fill(table, h("p", { class: "note" }, searched ? "No error contains these words." : "The model makes no errors on these images."));
      fill(paging);
      element.dataset.drawn = `${run!.id} ${found.total}`;
      return;
    }
    fill(
      table,
      h(
        "table",
        { class: "rows" },
        h("thead", {}, h("tr", {}, ...COLUMNS.map((column) => head(column)), h("td"))),
        h("tbody", {}, ...found.items.flatMap((row) => line(run!, row))),
      ),
    );
    const last = found.offset + found.items.length;
    fill(
      paging,
      found.total > SIZE && h("button", { disabled: found.offset === 0, onclick: () => turn(found.offset - SIZE) }, "Previous"),
      found.total > SIZE && h("span", { class: "note" }, `${found.offset + 1} to ${last} of ${found.total}`),
      found.total > SIZE && h("button", { disabled: last >= found.total, onclick: () => turn(last) }, "Next"),
    );
    element.dataset.drawn = `${run!.id} ${found.total} ${how.sort} ${how.descending ? "down" : "up"} ${found.offset}`;
  }

  function head(column: (typeof COLUMNS)[number]): HTMLElement {
    const on = column.sort === how.sort;
    const sorted = on ? (how.descending ? "descending" : "ascending") : "none";
    return h(
      "th",
      { scope: "col", "aria-sort": sorted },
      h("button", { class: "quiet", "data-sort": column.sort, onclick: () => sort(column.sort, on ? !how.descending : column.falling) }, column.text, on && h("span", { "aria-hidden": "true" }, how.descending ? " ↓" : " ↑")),
    );
  }

  function line(of: RunInfo, row: Said): HTMLElement[] {
    const { image: id } = row;
    const pairs = new Pairs(page);
    const detail = h("tr", { class: "detail", hidden: true }, h("td", { colspan: COLUMNS.length + 1 }, pairs.element));
    const maps = h("button", { "aria-expanded": "false", onclick: () => unfold() }, "Maps");
    function unfold(): void {
      detail.hidden = !detail.hidden;
      maps.setAttribute("aria-expanded", String(!detail.hidden));
      if (detail.hidden) pairs.clear();
      else {
        pairs.add(of, [row]);
        opened.push({ pairs, fold: unfold });
      }
    }
    return [
      h(
        "tr",
        {},
        h("th", { scope: "row" }, h("span", { class: "thumb" }, id && h("img", { src: imageUrl(id, 128), alt: "", width: 56, height: 56, loading: "lazy" }), h("span", { class: "name" }, row.name))),
        h("td", { "data-of": "true" }, row.label ?? "–"),
        h("td", { "data-of": "said" }, row.predicted),
        h("td", { class: "number", "data-of": "sure" }, percent(row.confidence)),
        h("td", { class: "number", "data-of": "rank" }, row.rank ?? "–"),
        h(
          "td",
          { class: "do" },
          id && of.served_model && maps,
          ...(id ? ways(page, of, id, row.name) : []),
        ),
      ),
      detail,
    ];
  }

  function sort(by: string, descending: boolean): void {
    how = { sort: by, descending, offset: 0 };
    void load().then(() => table.querySelector<HTMLElement>(`[data-sort=${by}]`)?.focus());
  }

  function turn(offset: number): void {
    how = { ...how, offset: Math.max(0, offset) };
    void load().then(() => element.scrollIntoView({ block: "start" }));
  }

  find.addEventListener(
    "input",
    settled(250, () => {
      how = { ...how, offset: 0 };
      void load();
    }),
  );
  return {
    name: "errors",
    title: "Most confident errors",
    kind: "mistakes",
    element,
    show,
    hide() {
      for (const { pairs, fold } of opened.splice(0)) if (pairs.element.dataset.drawn === undefined && pairs.element.firstChild) fold();
    },
  };
}

/** Is there a difference between the maps of right and of wrong answers? */
function beside(found: Overall): HTMLElement[] {
  if (!found.differences.length) return [];
  const cell = (range: Range, n: string): HTMLElement =>
    h("td", {}, digits(range.value), h("small", {}, range.low === null ? n : `${digits(range.low)} to ${digits(range.high)}${n && ` · ${n}`}`));
  return [
    h("h3", {}, "Maps of correct and of wrong predictions"),
    h(
      "div",
      { class: "scroller card" },
      h(
        "table",
        { class: "contrasts" },
        h("caption", { class: "note" }, `Maps of the predicted class, by ${found.method} at ${found.layer ?? "the default layer"}; 95 % intervals, p corrected for multiple tests.`),
        h("thead", {}, h("tr", {}, ...["", "correct", "wrong", "correct minus wrong", "p"].map((text) => (text ? h("th", { scope: "col" }, text) : h("td"))))),
        h(
          "tbody",
          {},
          ...found.differences.map((one) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, one.name, h("small", {}, one.meaning)),
              cell(one.correct, `n = ${one.n[0]}`),
              cell(one.wrong, `n = ${one.n[1]}`),
              cell(one.difference, one.differs ? "differs" : ""),
              h("td", {}, one.p === null ? "–" : one.p < 0.001 ? "< 0.001" : one.p.toFixed(3)),
            ),
          ),
        ),
      ),
    ),
  ];
}
