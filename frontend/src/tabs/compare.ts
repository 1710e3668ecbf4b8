// Compare: a grid of maps of one picture, two of them over each other, and how alike all of them are.

import { loadImage as picture } from "../api/images";
import { className } from "../classes";
import { busy, fill, h } from "../dom";
import { lookOf, modelOf, type Mounted, type Page, type Tab } from "../page";
import { Chooser } from "../parts/chooser";
import { pngOf as png, saveFile as save } from "../shared/files";
import { Task } from "../parts/task";
import { Trouble } from "../parts/trouble";
import { Turns } from "../turns";
import { repaints } from "../view";
import { Alike } from "./compare/alike";
import { type Axis, keyOf, laidOut } from "./compare/cells";
import { Found } from "./compare/found";
import { MapGrid } from "./compare/grid";
import { Opinions } from "./compare/opinions";
import { Pair } from "./compare/pair";
import { composed } from "./compare/sheet";
import type { Cell, Comparison, Expected, Opinion } from "./compare/wire";
import { count, type Wish, wishOf } from "./compare/wish";
import { Wishing } from "./compare/wishing";
import { caption, common, full, heading, missing } from "./compare/words";

export const compare: Tab = { name: "compare", title: "Compare", mount };

const MOST = 144;

function mount(root: HTMLElement, page: Page): Mounted {
  const own = page.store.own("compare");
  const chooser = new Chooser(page);
  const task = new Task("Explaining");
  const trouble = new Trouble();
  const wishing = new Wishing(page);
  const summary = h("p", { class: "summary" });
  const faults = h("ul", { class: "faults" });
  const keep = h("button", { class: "save", onclick: () => void keepGrid() }, "Grid as PNG");
  const opinions = new Opinions(add);
  const pair = new Pair(page);
  const grid = new MapGrid(page.painter, (key) => pair.choose(found, key));
  const alike = new Alike(page, (one, other) => {
    own.set({ a: keyOf(one), b: keyOf(other) });
    pair.element.scrollIntoView({ block: "nearest" });
  });
  fill(
    root,
    h("div", { class: "pictures" }, chooser.element),
    wishing.element,
    h(
      "div",
      { class: "found" },
      h("div", { class: "row status" }, summary, keep),
      task.element,
      trouble.element,
      faults,
      opinions.element,
      grid.element,
      pair.element,
      alike.element,
    ),
  );
  grid.element.hidden = true;

  const turns = new Turns();
  let found: Found | null = null;
  let asked = "";
  let drawn = "";
  let shows = false;

  grid.ondrawn = () => {
    root.dataset.scale = own.get("scale") || "own";
    if (found?.whole) root.dataset.drawn = `${found.whole.image} ${found.pictured.length}`;
  };

  /** Ask for what is wished, unless it is there. */
  async function update(again = false): Promise<void> {
    const wish = wishOf(page);
    wishing.show(wish, found);
    if (!wish.image) return;
    const key = JSON.stringify(wish);
    if (key === asked && !again) return draw();
    task.stop();
    trouble.clear();
    asked = "";
    delete root.dataset.drawn;
    delete root.dataset.refused;
    const signal = turns.begin();
    const many = count(page, wish);
    if (many > MOST) refuse(many);
    else {
      asked = key;
      busy(root, true);
      await ask(wish, signal);
    }
    if (turns.done(signal)) busy(root, false);
    if (!signal.aborted && asked === key) draw();
  }

  function refuse(many: number): void {
    fill(summary, `${many} maps are selected; at most ${MOST} are computed at once. Reduce the selection.`);
    root.dataset.refused = String(many);
  }

  async function ask(wish: Wish, signal: AbortSignal): Promise<void> {
    let image: HTMLImageElement;
    try {
      image = await picture(wish.image);
    } catch (error) {
      if (signal.aborted) return;
      asked = "";
      trouble.tell(error);
      return;
    }
    if (signal.aborted) return;
    const coming = new Found(wish, image);
    const whole = await task.run<Comparison>("/api/compare", wish, (name, content) => {
      if (signal.aborted) return;
      if (name === "expected") coming.expect(content as Expected);
      else if (name === "cells") coming.arrive((content as { cells: Cell[] }).cells);
      found = coming;
      draw();
    });
    if (signal.aborted) return;
    if (whole) coming.finish(whole);
    coming.stopped = !whole;
    found = whole || found === coming ? coming : null;
    if (!found) empty();
  }

  /** Nothing came at all. */
  function empty(): void {
    for (const part of [opinions, pair, alike, grid]) part.element.hidden = true;
    fill(faults);
    fill(summary, "There is no result. ", goOn());
  }

  function goOn(): HTMLElement {
    return h("button", { class: "again", onclick: () => void update(true) }, "Continue");
  }

  const headed = (axis: Axis, value: string, model?: string) => heading(found!, axis, value, model);

  /** All that depends on what was found and on how it is to be laid out. */
  function draw(): void {
    if (!found) return;
    const now = found;
    const layout = laidOut(now.cells, own.get("across"));
    const fields = now.painted(wishing.shared);
    const have = now.cells.map((cell) => [keyOf(cell), Boolean(cell.map), Boolean(cell.error)]);
    const key = JSON.stringify([asked, own.get("across"), have, Boolean(now.whole), now.stopped]);
    const look = lookOf(page);
    if (layout.placed.length && key !== drawn) {
      drawn = key;
      const waiting = root.hasAttribute("aria-busy") && !now.whole && !now.stopped;
      const captioned = (cell: Cell): string => caption(now, cell);
      grid.set({ image: now.image, layout, fields, look, words: headed, caption: captioned, name: full, waiting });
    } else grid.paint(look, fields);
    grid.element.hidden = !layout.placed.length;
    keep.disabled = !now.pictured.length;
    const lost = now.cells.filter((cell) => !cell.method && cell.error);
    fill(faults, ...lost.map((cell) => h("li", {}, `${missing(now, cell)}: ${cell.error}`)));
    describe(now);
    opinions.set(now.opinions);
    const [a, b] = pair.chosen(now);
    grid.select(a ? keyOf(a) : "", b ? keyOf(b) : "");
    pair.draw(now);
    alike.draw(now, [a, b]);
    wishing.show(wishOf(page), now);
  }

  function describe(now: Found): void {
    const shared = wishing.shared && now.alike.length > 0;
    const how = shared
      ? "Maps of one method at one layer share a scale, so that equal colours are equal values. Other maps are not comparable."
      : "Each map has its own scale; equal colours are not equal values.";
    const took = now.whole ? [`${now.whole.seconds.toPrecision(2)} s`] : [];
    fill(
      summary,
      h("b", {}, [...common(now), ...took].join(" · ")),
      " ",
      now.stopped ? "Stopped; the maps computed so far are kept. " : how,
      now.stopped ? goOn() : null,
    );
  }

  /** Also for this class of a model. */
  function add(opinion: Opinion, index: number): void {
    const first = modelOf(page, wishOf(page).models[0]);
    const name = className(page, index, opinion.model);
    const here = opinion.model === first.name ? index : first.labels.indexOf(name);
    if (here < 0) page.say(`${first.name} has no class ${name}.`, "error");
    else wishing.add(here);
  }

  async function keepGrid(): Promise<void> {
    if (!found) return;
    const now = found;
    const scale = wishing.shared ? "maps of one method at one layer share a scale" : "each map has its own scale";
    const whose = [now.wish.models.join(", "), now.whole?.name ?? now.wish.image, `camlucida ${page.start.version}`];
    const canvas = composed({
      layout: laidOut(now.cells, own.get("across")),
      title: common(now).join(" · "),
      footer: [scale, ...whose].join(" · "),
      words: headed,
      at: ({ cell, again }) => ({
        canvas: again ? undefined : grid.canvas(cell),
        text: again ? "as above" : (cell.error ?? (cell.map ? caption(now, cell) : "")),
      }),
    });
    await png(canvas).then((content) => save(content, `compare-${now.wish.image}.png`), page.failed);
  }

  page.store.listen((view, changed) => {
    if (view.tab !== "compare" || !shows) return;
    if (["image", "model", "score", "more"].some((name) => changed.has(name))) void update();
    if (repaints(changed) && found) {
      grid.paint(lookOf(page), found.painted(wishing.shared));
      pair.paint();
      alike.paint();
    }
  });
  return {
    show() {
      shows = true;
      void chooser.load();
      void update();
    },
    hide() {
      shows = false;
      if (!found?.whole) asked = "";
      turns.end();
      busy(root, false);
      task.stop();
      pair.rest();
    },
  };
}
