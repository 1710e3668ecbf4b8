// Data set: how pictures lie beside each other, which classes are confused, the worst errors, evaluations.

import { get, wasStopped } from "../api";
import { fill, h } from "../dom";
import { modelOf, type Page, type Tab } from "../page";
import { choice, field, modelChoice } from "../parts/controls";
import { Task } from "../parts/task";
import { confusion } from "./dataset/confusion";
import { errors } from "./dataset/errors";
import { counted, own, type Part, put, type RunInfo, type RunList } from "./dataset/parts";
import { evaluations } from "./dataset/runs";
import { scatter } from "./dataset/scatter";

export const dataset: Tab = {
  name: "dataset",
  title: "Data set",
  mount,
  show: () => current?.show(),
  hide: () => current?.hide(),
};
let current: { show(): void; hide(): void } | null = null;

const COUNTS = [100, 300, 500, 1000] as const;

function mount(root: HTMLElement, page: Page): void {
  const parts: Part[] = [scatter(page), confusion(page), errors(page), evaluations(page)];
  const form = lookForm(page, () => void load());
  const buttons = parts.map((part) => h("button", { onclick: () => put(page, { part: part.name }) }, part.title));
  const which = choice("Run", (id) => put(page, { run: id, cell: null, metric: null }));
  const notes = h("div", { class: "notes" });
  const bar = h("div", { class: "parts", role: "group", "aria-label": "What to see of the data set" }, ...buttons);
  fill(root, h("div", { class: "head" }, bar, which.element), form.element, notes, ...parts.map((part) => part.element));
  let runs: RunInfo[] | null = null;

  async function load(): Promise<void> {
    try {
      runs = (await get<RunList>("/api/dataset/runs")).runs;
    } catch (error) {
      if (!wasStopped(error)) page.say((error as Error).message, "error");
      runs ??= [];
    }
    update();
  }

  function update(): void {
    if (!runs || page.store.view.tab !== "dataset") return;
    const usable = runs.filter((run) => !run.error);
    const part = parts.find((one) => one.name === own(page, "part")) ?? first(usable);
    const fitting = usable.filter((run) => run.kinds.includes(part.kind));
    const asked = own(page, "run");
    const run = chosen(usable, fitting, asked);
    parts.forEach((one, i) => {
      buttons[i]!.setAttribute("aria-pressed", String(one === part));
      one.element.hidden = one !== part || !run;
      if (one !== part) one.hide();
    });
    which.options(
      fitting.map((one) => ({ value: one.id, text: title(one) })),
      run?.id ?? "",
    );
    which.element.hidden = fitting.length < 2;
    form.show(usable.length === 0 || (part.kind !== "evaluation" && !run));
    form.element.hidden = part.kind === "evaluation";
    fill(notes, ...said(part, run, asked, usable));
    root.dataset.part = part.name;
    root.dataset.run = run?.id ?? "none";
    if (run) part.show(run);
  }

  function first(usable: RunInfo[]): Part {
    return parts.find((part) => usable.some((run) => run.kinds.includes(part.kind))) ?? parts[0]!;
  }

  /** The one asked for; else one of the same model and pictures as that; else the latest made here, or the first. */
  function chosen(usable: RunInfo[], fitting: RunInfo[], asked: string): RunInfo | null {
    const named = usable.find((run) => run.id === asked);
    const like = (one: RunInfo): boolean => one.model === named?.model && one.pictures === named.pictures;
    return (
      fitting.find((run) => run.id === asked) ??
      fitting.find((run) => named && like(run)) ??
      fitting.find((run) => !run.made) ??
      fitting[fitting.length - 1] ??
      null
    );
  }

  function said(part: Part, run: RunInfo | null, asked: string, usable: RunInfo[]): HTMLElement[] {
    const words: string[] = (runs ?? []).filter((one) => one.error).map((one) => `${one.name}: ${one.error}`);
    if (asked.startsWith("m-") && !usable.some((one) => one.id === asked))
      words.push("The run of this link was computed before the page was started again. Look over the pictures once more to see it.");
    if (run) {
      words.push(...run.notes);
      if (!run.finished) words.push(`${run.name} is not finished: what it has so far is shown.`);
    } else if (part.kind === "evaluation")
      words.push("No evaluation was given. Start the page with camlucida app --run FOLDER, where FOLDER is what camlucida evaluate wrote.");
    else if (usable.length) words.push(`None of the runs has an ${part.kind === "embedding" ? "embedding" : "answer for every picture"}. Look over the pictures here.`);
    return words.map((text) => h("p", { class: "note" }, text));
  }

  page.store.listen((_, changed) => (changed.has("more") || changed.has("tab") || changed.has("method")) && update());
  current = {
    show: () => void load(),
    hide() {
      for (const part of parts) part.hide();
    },
  };
}

function title(run: RunInfo): string {
  if (run.made) return run.name;
  return `${run.name}: ${run.model}, ${counted(run.pictures, "picture")} of ${run.data}`;
}

/** Looking over a part of the data set, here and now. */
function lookForm(page: Page, done: () => void): { element: HTMLElement; show(open: boolean): void } {
  const task = new Task(page, "Looking over the pictures");
  const total = page.start.data.count;
  const counts = COUNTS.filter((_, i) => i === 0 || COUNTS[i - 1]! < total);
  const count = choice("Pictures", () => {});
  count.options(
    counts.map((one) => ({ value: String(one), text: one < total ? `${one} at random` : `all ${total}` })),
    String(counts[Math.min(1, counts.length - 1)]),
  );
  const seed = h("input", { type: "number", min: 0, max: 2 ** 31, step: 1, value: 0 });
  const maps = h("input", { type: "checkbox", id: "dataset-maps", checked: true });
  const begin = h("button", { class: "main", onclick: () => void look() }, "Look over the data set");
  const asked = /^m-[0-9a-f]+-(\d+)-(\d+)-([01])$/.exec(own(page, "run"));
  if (asked) {
    if (counts.some((one) => String(one) === asked[1])) count.select.value = asked[1]!;
    seed.value = asked[2]!;
    maps.checked = asked[3] === "1";
  }

  async function look(): Promise<void> {
    begin.disabled = true;
    const question = {
      model: modelOf(page).name,
      count: Number(count.select.value),
      seed: Math.max(0, Math.round(Number(seed.value) || 0)),
      maps: maps.checked,
    };
    const made = await task.run<RunInfo>("/api/dataset/look", question);
    begin.disabled = false;
    if (!made) return;
    element.open = false;
    put(page, { run: made.id, cell: null });
    done();
  }

  const element = h(
    "details",
    { class: "card looking" },
    h("summary", {}, "Look over pictures here"),
    h(
      "p",
      { class: "note" },
      `Asks the model about pictures of ${page.start.data.name}, and keeps the numbers until the page is stopped. What was stopped goes on where it was.`,
    ),
    h(
      "div",
      { class: "row fields" },
      modelChoice(page),
      count.element,
      field("Seed", seed),
      h("div", { class: "check" }, maps, h("label", { for: "dataset-maps" }, "also measure maps")),
      begin,
    ),
    task.element,
  );
  return {
    element,
    show(open) {
      if (open) element.open = true;
    },
  };
}
