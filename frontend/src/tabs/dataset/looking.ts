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
  const task = new Task("Analysing the images");
  const total = page.start.data.count;
  const counts = COUNTS.filter((_, i) => i === 0 || COUNTS[i - 1]! < total);
  const count = choice("Images", () => {});
  count.options(
    counts.map((one) => ({ value: String(one), text: one < total ? `${one} at random` : `all ${total}` })),
    String(counts[Math.min(1, counts.length - 1)]),
  );
  const seed = h("input", { type: "number", min: 0, max: 2 ** 31, step: 1, value: 0 });
  const maps = h("input", { type: "checkbox", checked: true });
  const begin = h("button", { class: "main", onclick: () => void look() }, "Analyse");
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
    h("summary", {}, "Analyse images"),
    h(
      "p",
      { class: "note" },
      "Computes an embedding of the images, the confusion matrix, and the most confident errors with maps of the predicted ",
      `and of the true class, for images of ${page.start.data.name}. The results are kept until the app is `,
      "stopped; an interrupted analysis resumes.",
    ),
    h(
      "div",
      { class: "row fields" },
      modelChoice(page),
      count.element,
      field("Seed", seed),
      check("measure maps as well", maps),
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
