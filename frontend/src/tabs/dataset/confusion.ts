// Which class is taken for which; a cell shows its pictures with both maps. How far confidence can be believed.

import { get, wasStopped } from "../../api";
import { fill, h, settled } from "../../dom";
import { type Page } from "../../page";
import { plot } from "../../parts/plot";
import { Pairs } from "./pair";
import { counted, digits, type Matrix, type Overall, own, type Part, put, query, type Range, type RunInfo, type SaidList, share } from "./parts";

const SIZE = 20;
const STEP = 4;

export function confusion(page: Page): Part {
  const numbers = h("div", { class: "numbers" });
  const matrix = h("div", { class: "matrix" });
  const bar = h("div", { class: "row paging" });
  const heading = h("h3", { tabindex: -1 });
  const pairs = new Pairs(page);
  const more = h("button", { onclick: () => void cell(true) }, "More of them");
  const strip = h("section", { class: "cell", "aria-label": "Pictures of the cell" }, heading, pairs.element, more);
  const find = h("input", { type: "search", "aria-label": "Find a class", placeholder: "Find a class", maxlength: 100 });
  const confused = h("div", { class: "confused" });
  const element = h("div", { class: "confusion" }, numbers, bar, h("div", { class: "sides" }, matrix, confused), strip);
  let run: RunInfo | null = null;
  let asking = new AbortController();
  let most = true;
  let offset = 0;
  let shown = "";
  let drawn: Matrix | null = null;
  let inside = "";

  function show(next: RunInfo): void {
    if (run?.id !== next.id) {
      asking.abort();
      asking = new AbortController();
      [run, most, offset, shown, inside, find.value] = [next, true, 0, "", "", ""];
      drawn = null;
      pairs.clear();
      fill(numbers);
      fill(matrix);
      void overall(next, asking.signal);
    }
    void load().then(() => cell(false));
  }

  async function overall(of: RunInfo, signal: AbortSignal): Promise<void> {
    try {
      const found = await get<Overall>(query("overall", { run: of.id }), signal);
      if (run?.id === of.id) tell(found);
    } catch (error) {
      if (!wasStopped(error)) page.say((error as Error).message, "error");
    }
  }

  async function load(): Promise<void> {
    const path = query("confusion", { run: run!.id, most, offset, find: find.value });
    if (path === shown) return;
    shown = path;
    try {
      const found = await get<Matrix>(path, asking.signal);
      if (shown === path) draw((drawn = found));
    } catch (error) {
      if (shown === path) shown = "";
      if (!wasStopped(error)) page.say((error as Error).message, "error");
    }
  }

  function tell(found: Overall): void {
    const c = found.calibration;
    const lines = found.sentences.map((text) => h("li", {}, text));
    fill(
      numbers,
      h(
        "div",
        { class: "figures" },
        figure("right", found.accuracy),
        figure("in the top 5", found.top5),
        c && h("div", { class: "figure" }, h("b", {}, share(c.ece)), h("span", {}, "calibration error"), h("small", {}, `by chance up to ${share(c.chance[1])}`)),
        h("div", { class: "figure" }, h("b", {}, found.wrong.toLocaleString("en")), h("span", {}, "wrong"), h("small", {}, `of ${counted(found.judged, "picture")}`)),
      ),
      h(
        "details",
        { class: "card" },
        h("summary", {}, "What the numbers say"),
        h("div", { class: "saying" }, h("ul", {}, ...lines), c && reliability(c)),
        found.failed > 0 && h("ul", { class: "note" }, ...found.failures.map((one) => h("li", {}, `${one.name}: ${one.reason}`))),
      ),
    );
    element.dataset.told = found.run;
  }

  function reliability(c: NonNullable<Overall["calibration"]>): HTMLElement {
    const known = c.bins.filter((bin) => bin.count > 0);
    const words = `How often it is right by how sure it is: ${known.map((bin) => `${share(bin.confidence)} sure, ${share(bin.accuracy)} right, ${counted(bin.count, "picture")}`).join("; ")}`;
    return h(
      "figure",
      {},
      plot(
        [
          { name: "as it should be", points: [[0, 0], [1, 1]], kind: "quiet" },
          { name: "right", points: known.map((bin) => [bin.confidence!, bin.accuracy!] as const) },
        ],
        { x: "confidence", y: "share right", xs: [0, 1], ys: [0, 1] },
        words,
      ),
      h("figcaption", { class: "note" }, c.temperature === null ? "Dashed: as often right as it says." : `Dashed: as often right as it says. A temperature of ${digits(c.temperature)} would help; it is not applied.`),
    );
  }

  function draw(found: Matrix): void {
    const whole = found.matching === 0;
    const all = found.classes <= SIZE;
    fill(
      bar,
      h("h3", {}, whole ? (all ? "Which class is taken for which" : `The ${found.rows.length} classes confused most, of ${found.classes}`) : `Classes ${found.offset + 1} to ${found.offset + found.rows.length} of ${found.matching}, the worst first`),
      !all && h("button", { "aria-pressed": String(whole), onclick: () => turn(true, 0) }, "Most confused"),
      !all && h("button", { disabled: whole || found.offset === 0, onclick: () => turn(false, found.offset - SIZE) }, "Previous"),
      !all && h("button", { disabled: !whole && found.offset + SIZE >= found.matching, onclick: () => turn(false, whole ? 0 : found.offset + SIZE) }, whole ? "All classes" : "Next"),
      !all && find,
    );
    if (!found.rows.length) {
      fill(matrix, h("p", { class: "note" }, found.classes ? "No class has these words in its name." : "No picture of this run has a label that the model knows: nothing can be right or wrong."));
      fill(confused);
      element.dataset.drawn = run!.id;
      return;
    }
    const others = found.rows.some((row) => row.others > 0);
    const head = h(
      "tr",
      {},
      h("td", { class: "corner" }, h("span", {}, "true ↓"), h("span", {}, "taken for →")),
      ...found.columns.map((one) => h("th", { scope: "col", title: one.name }, h("span", {}, one.name))),
      others && h("th", { scope: "col" }, h("span", {}, "others")),
      h("th", { scope: "col" }, h("span", {}, "all")),
    );
    const rows = found.rows.map((row, i) =>
      h(
        "tr",
        {},
        h("th", { scope: "row", title: row.name }, row.name),
        ...found.columns.map((column, j) => {
          const count = found.counts[i]![j]!;
          const right = row.output === column.output;
          const made = h("td", { class: right ? "right" : "wrong" }, count > 0 && cellButton(row, column, count));
          if (count) made.style.setProperty("--depth", `${Math.round(8 + 42 * Math.sqrt(count / row.total))}%`);
          return made;
        }),
        others && h("td", { class: "sum" }, row.others || ""),
        h("td", { class: "sum" }, row.total),
      ),
    );
    fill(
      matrix,
      h(
        "div",
        { class: "scroller", onkeydown: walk },
        h("table", {}, h("caption", { class: "note" }, "Rows: what is true. As dark as the share of the row. Choose a number to see its pictures; arrows go from number to number."), h("thead", {}, head), h("tbody", {}, ...rows)),
      ),
    );
    const buttons = [...matrix.querySelectorAll("button")];
    const first = buttons.find((one) => one.dataset.cell === own(page, "cell")) ?? buttons[0];
    if (first) first.tabIndex = 0;
    press();
    fill(
      confused,
      found.pairs.length > 0 && h("h3", {}, "Most often confused"),
      h(
        "ol",
        {},
        ...found.pairs.map((pair) =>
          h(
            "li",
            {},
            h("button", { class: "quiet", onclick: () => put(page, { cell: `${pair.truth.output}-${pair.said.output}` }) }, `${pair.truth.name} → ${pair.said.name}`),
            h("span", { class: "note" }, ` ${pair.count} of ${pair.total}`),
          ),
        ),
      ),
    );
    element.dataset.drawn = run!.id;
  }

  function cellButton(row: { output: number; name: string; total: number }, column: { output: number; name: string }, count: number): HTMLElement {
    const which = `${row.output}-${column.output}`;
    const words = row.output === column.output ? `${count} of ${row.total} ${row.name}: right` : `${count} of ${row.total} ${row.name}, taken for ${column.name}`;
    return h("button", { "data-cell": which, tabindex: -1, "aria-label": words, title: words, onclick: () => put(page, { cell: which }) }, count);
  }

  /** From number to number by the arrows. */
  function walk(event: KeyboardEvent): void {
    const way = ({ ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] } as Record<string, [number, number]>)[event.key];
    const from = (event.target as HTMLElement).closest("td");
    if (!way || !from) return;
    event.preventDefault();
    const table = from.closest("table")!;
    let [row, column] = [(from.parentElement as HTMLTableRowElement).rowIndex, from.cellIndex];
    for (;;) {
      [row, column] = [row + way[0], column + way[1]];
      const to = table.rows[row]?.cells[column];
      if (!to || row < 1) return;
      const button = to.querySelector("button");
      if (!button) continue;
      for (const one of matrix.querySelectorAll("button")) one.tabIndex = -1;
      button.tabIndex = 0;
      button.focus();
      return;
    }
  }

  function press(): void {
    for (const button of matrix.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.cell === own(page, "cell")));
  }

  function turn(mostConfused: boolean, to: number): void {
    most = mostConfused;
    offset = Math.max(0, to);
    if (most) find.value = "";
    void load();
  }

  /** The pictures of the cell in the address, or some more of them. */
  async function cell(further: boolean): Promise<void> {
    const which = own(page, "cell");
    const [truth, said] = which.split("-").map(Number);
    press();
    if (!which || truth === undefined || said === undefined || !Number.isInteger(truth) || !Number.isInteger(said)) {
      strip.hidden = true;
      pairs.clear();
      inside = "";
      return;
    }
    const key = `${run!.id} ${which}`;
    if (key === inside && !further) return;
    const fresh = key !== inside;
    inside = key;
    if (fresh) pairs.clear();
    const from = pairs.element.children.length;
    try {
      const found = await get<SaidList>(query("cell", { run: run!.id, truth, said, offset: from, n: STEP }), asking.signal);
      if (inside !== key) return;
      const first = found.items[0];
      const name = (output: number): string => [...(drawn?.rows ?? []), ...(drawn?.columns ?? [])].find((one) => one.output === output)?.name ?? "";
      const of = (truth === said ? first?.said : first?.label) || name(truth) || `class ${truth}`;
      fill(heading, `${counted(found.total, "picture")} of ${of}${truth === said ? ", rightly said" : `, taken for ${first?.said ?? name(said)}`}`);
      strip.hidden = false;
      pairs.add(run!, found.items);
      more.hidden = from + found.items.length >= found.total;
      if (fresh && first) heading.focus({ preventScroll: true });
      if (fresh && first) strip.scrollIntoView({ block: "nearest" });
      strip.dataset.cell = which;
      strip.dataset.total = String(found.total);
    } catch (error) {
      if (inside === key && fresh) inside = "";
      if (!wasStopped(error)) page.say((error as Error).message, "error");
    }
  }

  const search = settled(250, () => {
    most = find.value.trim() === "";
    offset = 0;
    void load().then(() => find.focus());
  });
  find.addEventListener("input", search);
  strip.hidden = true;
  return {
    name: "confusion",
    title: "Confusion",
    kind: "mistakes",
    element,
    show,
    hide() {
      if (inside && pairs.element.dataset.drawn === undefined) {
        pairs.clear();
        inside = "";
      }
    },
  };
}

function figure(name: string, range: Range): HTMLElement {
  return h("div", { class: "figure" }, h("b", {}, share(range.value)), h("span", {}, name), h("small", {}, range.low === null ? "" : `${share(range.low)} to ${share(range.high)}`));
}
