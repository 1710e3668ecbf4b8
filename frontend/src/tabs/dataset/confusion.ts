// Confusion matrix, what that comes to, and the pictures behind each number.

import { get } from "../../api/http";
import { fill, h, settled } from "../../dom";
import type { Page } from "../../page";
import { Trouble } from "../../parts/trouble";
import { Turns } from "../../turns";
import { CellPictures } from "./cell";
import { press, table } from "./matrix";
import { overall } from "./overall";
import type { Part } from "./part";
import { type Matrix, type Overall, query, type RunInfo } from "./wire";

const SIZE = 20;

export function confusion(page: Page): Part {
  const own = page.store.own("dataset");
  const trouble = new Trouble();
  const numbers = h("div", { class: "numbers" });
  const matrix = h("div", { class: "matrix" });
  const bar = h("div", { class: "row paging" });
  const cell = new CellPictures(page);
  const find = h("input", { type: "search", "aria-label": "Find a class", placeholder: "Find a class", maxlength: 100 });
  const confused = h("div", { class: "confused" });
  const sides = h("div", { class: "sides" }, matrix, confused);
  const element = h("div", { class: "confusion" }, numbers, trouble.element, bar, sides, cell.element);
  const turns = new Turns();
  let signal = turns.begin();
  let run: RunInfo | null = null;
  let most = true;
  let offset = 0;
  let shown = "";
  let drawn: Matrix | null = null;

  const choose = (which: string): void => own.set({ cell: which }, true);
  const nameOf = (output: number): string =>
    [...(drawn?.rows ?? []), ...(drawn?.columns ?? [])].find((one) => one.output === output)?.name ?? "";

  function show(next: RunInfo): void {
    if (run?.id !== next.id) {
      signal = turns.begin();
      [run, most, offset, shown, find.value, drawn] = [next, true, 0, "", "", null];
      cell.clear();
      trouble.clear();
      fill(numbers);
      fill(matrix);
      void total(next, signal);
    }
    void load().then(() => {
      press(matrix, own.get("cell"));
      void cell.show(next, own.get("cell"), nameOf);
    });
  }

  async function total(of: RunInfo, wanted: AbortSignal): Promise<void> {
    try {
      const found = await get<Overall>(query("overall", { run: of.id }), wanted);
      if (wanted.aborted) return;
      fill(numbers, ...overall(found));
      element.dataset.told = found.run;
    } catch (error) {
      trouble.tell(error);
    }
  }

  async function load(): Promise<void> {
    const path = query("confusion", { run: run!.id, most, offset, find: find.value });
    if (path === shown) return;
    shown = path;
    try {
      const found = await get<Matrix>(path, signal);
      if (shown === path) draw((drawn = found));
    } catch (error) {
      if (shown === path) shown = "";
      trouble.tell(error);
    }
  }

  function draw(found: Matrix): void {
    fill(bar, h("h3", {}, title(found)), ...(found.classes > SIZE ? paging(found) : []));
    element.dataset.drawn = run!.id;
    if (!found.rows.length) {
      const why = found.classes
        ? "No class name contains these words."
        : "No image of this run has a label among the classes of the model, so there is no confusion matrix.";
      fill(matrix, h("p", { class: "note" }, why));
      fill(confused);
      return;
    }
    fill(matrix, table(found, own.get("cell"), choose));
    fill(
      confused,
      found.pairs.length > 0 && h("h3", {}, "Most frequent confusions"),
      h(
        "ol",
        {},
        ...found.pairs.map(({ label: truth, predicted: said, count, total: all }) => {
          const which = `${truth.output}-${said.output}`;
          const button = h("button", { class: "quiet", onclick: () => choose(which) }, `${truth.name} → ${said.name}`);
          return h("li", {}, button, h("span", { class: "note" }, ` ${count} of ${all}`));
        }),
      ),
    );
  }

  function title(found: Matrix): string {
    if (found.matching)
      return `Classes ${found.offset + 1} to ${found.offset + found.rows.length} of ${found.matching}, lowest accuracy first`;
    if (found.classes <= SIZE) return "Confusion matrix";
    return `The ${found.rows.length} most confused of ${found.classes} classes`;
  }

  function paging(found: Matrix): HTMLElement[] {
    const whole = found.matching === 0;
    const next = found.offset + SIZE;
    const on = whole ? { text: "All classes", to: 0 } : { text: "Next", to: next };
    return [
      h("button", { "aria-pressed": String(whole), onclick: () => turn(true, 0) }, "Most confused"),
      h("button", { disabled: whole || found.offset === 0, onclick: () => turn(false, found.offset - SIZE) }, "Previous"),
      h("button", { disabled: !whole && next >= found.matching, onclick: () => turn(false, on.to) }, on.text),
      find,
    ];
  }

  function turn(mostConfused: boolean, to: number): void {
    most = mostConfused;
    offset = Math.max(0, to);
    if (most) find.value = "";
    void load();
  }

  const search = settled(250, () => {
    most = find.value.trim() === "";
    offset = 0;
    void load().then(() => find.focus());
  });
  find.addEventListener("input", search);
  return { name: "confusion", title: "Confusion", kind: "mistakes", element, show, hide: () => cell.leave() };
}
