// Can this map be believed? First in words, then the numbers behind them.

import { decodeImage } from "../../api/images";
import { fill, h } from "../../dom";
import { Field } from "../../maps/field";
import { plainPlace } from "../../maps/landing";
import { unpack } from "../../maps/packed";
import { fixed } from "../../numbers";
import { lookOf, type Page } from "../../page";
import { HeatView } from "../../parts/heat";
import { banner } from "./banner";
import { cards } from "./cards";
import { Long } from "./long";
import type { Part } from "./part";
import type { Verdict } from "./wire";

/** About so many runs of the network; a quick map costs one and a half, and thirteen more maps are made. */
const RUNS = 125;

export function verdict(page: Page): Part {
  const found = h("div", { class: "found" });
  const long = new Long<Verdict>({
    path: "/api/trust",
    doing: "Running the tests",
    button: "Run tests",
    question: `Tests whether the map can be trusted, with about ${RUNS} runs of the network`,
    seconds: (now) => now.answer.seconds * (now.slow ? 14 : RUNS / 1.6),
    clear() {
      fill(found);
      delete element.dataset.belief;
    },
    draw,
  });
  const element = h("div", { class: "verdict" }, long.element, found);
  let small: HeatView[] = [];

  async function draw(told: Verdict, wanted: () => boolean): Promise<void> {
    const [seen, blurred] = await Promise.all([decodeImage(told.network_input), decodeImage(told.occluded_input)]);
    if (!wanted()) return;
    small = [];
    fill(found, banner(told), h("div", { class: "cards" }, ...cards(told, seen, blurred)), compared(told, seen));
    element.dataset.belief = told.level;
    element.dataset.p = told.position_test ? String(told.position_test.p) : "";
  }

  /** The maps that it was compared with: one or two of each kind. */
  function compared(told: Verdict, seen: HTMLImageElement): HTMLElement | null {
    if (!told.maps) return null;
    const grids = unpack(told.maps);
    const all = [...told.classes, ...told.noise, ...told.shifts];
    const first = [0, 1, 2].filter((i) => i < told.classes.length);
    const which = [...first, told.classes.length, told.classes.length + told.noise.length];
    const names = ["second class", "random class", "random class"].slice(0, first.length);
    const kinds = [...names, "with noise", "shifted"];
    const views = which.map((at, i) => {
      const one = all[at]!;
      const name = i < first.length ? `${one.name}, ${kinds[i]}` : kinds[i]!;
      const view = new HeatView("overlay", page.painter, 224);
      const field = new Field(grids[at]!, plainPlace(seen.naturalWidth, seen.naturalHeight), true, false, 100);
      view.set(seen, field, lookOf(page), `${name}: ${one.correlation === null ? "no map" : fixed(one.correlation)}`);
      small.push(view);
      return view.element;
    });
    return h(
      "section",
      { class: "card compared" },
      h("h3", {}, "Compared maps"),
      h(
        "p",
        { class: "note" },
        "With their rank correlation: 1 if the maps rank all positions in the same order, 0 if the orders are unrelated.",
      ),
      h("div", { class: "small" }, ...views),
    );
  }

  return {
    name: "verdict",
    title: "Verdict",
    element,
    show: (now) => long.show(now),
    paint: () => small.forEach((view) => view.paint(lookOf(page))),
    hide: () => long.hide(),
  };
}
