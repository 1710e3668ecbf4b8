// Looking over a part of the data set, here and now.

import { h } from "../../dom";
import { modelOf, type Page } from "../../page";
import { modelChoice } from "../../parts/choices";
import { check, choice, field } from "../../parts/controls";
import { Task } from "../../parts/task";
import type { RunInfo } from "./wire";

const COUNTS = [100, 300, 500, 1000] as const;
/** A data set up to this size is looked over by a built-in network, in seconds, without anybody asking. */
const SMALL = 500;
const isQuick = (model: string): boolean => model.startsWith("toybox");

export interface Looking {
  element: HTMLElement;
  /** There is nothing to be seen yet: open it, or begin. */
  offer(): void;
}

export function looking(page: Page, done: () => void): Looking {
  const own = page.store.own("dataset");
  const task = new Task("Looking over the pictures");
  const total = page.start.data.count;
  const counts = COUNTS.filter((_, i) => i === 0 || COUNTS[i - 1]! < total);
  const count = choice("Pictures", () => {});
  count.options(
    counts.map((one) => ({ value: String(one), text: one < total ? `${one} at random` : `all ${total}` })),
    String(counts[Math.min(1, counts.length - 1)]),
  );
  const seed = h("input", { type: "number", min: 0, max: 2 ** 31, step: 1, value: 0 });
  const maps = h("input", { type: "checkbox", checked: true });
  const begin = h("button", { class: "main", onclick: () => void look() }, "Look over the data set");
  let begun = false;
  const asked = /^m-[0-9a-f]+-(\d+)-(\d+)-([01])$/.exec(own.get("run"));
  if (asked) {
    if (counts.some((one) => String(one) === asked[1])) count.select.value = asked[1]!;
    seed.value = asked[2]!;
    maps.checked = asked[3] === "1";
  }

  async function look(): Promise<void> {
    begin.disabled = begun = true;
    const question = {
      model: modelOf(page).name,
      n_images: Number(count.select.value),
      seed: Math.max(0, Math.round(Number(seed.value) || 0)),
      maps: maps.checked,
    };
    const made = await task.run<RunInfo>("/api/dataset/analyse", question);
    begin.disabled = false;
    if (!made) return;
    element.open = false;
    own.set({ run: made.id, cell: null }, true);
    done();
  }

  const element = h(
    "details",
    { class: "card looking" },
    h("summary", {}, "Look over pictures here"),
    h(
      "p",
      { class: "note" },
      "Shows which pictures the model takes for alike, which classes it confuses, and its worst errors with what it saw ",
      `and what it missed. It is asked about pictures of ${page.start.data.name}; the numbers are kept until the page is `,
      "stopped, and what was stopped goes on where it was.",
    ),
    h(
      "div",
      { class: "row fields" },
      modelChoice(page),
      count.element,
      field("Seed", seed),
      check("also measure maps", maps),
      begin,
    ),
    task.element,
  );
  return {
    element,
    offer() {
      if (begun) return;
      element.open = true;
      if (asked || !isQuick(modelOf(page).name) || total > SMALL) return;
      begun = true;
      maps.checked = false;
      count.select.value = String(counts[counts.length - 1]);
      void look();
    },
  };
}
