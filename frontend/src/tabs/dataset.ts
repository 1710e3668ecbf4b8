// Data set: how pictures lie beside each other, which classes are confused, the worst errors, evaluations.

import { get } from "../api/http";
import { fill, h } from "../dom";
import { counted } from "../numbers";
import type { Mounted, Page, Tab } from "../page";
import { choice } from "../parts/controls";
import { segments } from "../parts/segments";
import { Trouble } from "../parts/trouble";
import { confusion } from "./dataset/confusion";
import { errors } from "./dataset/errors";
import { evaluations } from "./dataset/evaluation";
import { looking } from "./dataset/looking";
import type { Part } from "./dataset/part";
import { scatter } from "./dataset/scatter";
import type { RunInfo, RunList } from "./dataset/wire";

export const dataset: Tab = { name: "dataset", title: "Data set", mount };

function mount(root: HTMLElement, page: Page): Mounted {
  const own = page.store.own("dataset");
  const trouble = new Trouble();
  const parts: Part[] = [scatter(page), confusion(page), errors(page), evaluations(page)];
  const form = looking(page, () => void load());
  const which = choice("Run", (id) => own.set({ run: id, cell: null, metric: null }, true));
  const notes = h("div", { class: "notes" });
  const bar = segments(
    "Views of the data set",
    parts.map((part) => [part.name, part.title] as const),
    (name) => own.set({ part: name }, true),
  );
  fill(
    root,
    h("div", { class: "head" }, bar.element, which.element),
    form.element,
    trouble.element,
    notes,
    ...parts.map((part) => part.element),
  );
  let runs: RunInfo[] | null = null;

  async function load(): Promise<void> {
    try {
      runs = (await get<RunList>("/api/dataset/runs")).runs;
      trouble.clear();
    } catch (error) {
      trouble.tell(error, h("button", { onclick: () => void load() }, "Try again"));
      runs ??= [];
    }
    update();
  }

  function update(): void {
    if (!runs || page.store.view.tab !== "dataset") return;
    const usable = runs.filter((run) => !run.error);
    const part = parts.find((one) => one.name === own.get("part")) ?? first(usable);
    const fitting = usable.filter((run) => run.kinds.includes(part.kind));
    const asked = own.get("run");
    const run = chosen(usable, fitting, asked);
    bar.set(part.name);
    for (const one of parts) {
      one.element.hidden = one !== part || !run;
      if (one !== part) one.hide();
    }
    which.options(
      fitting.map((one) => ({ value: one.id, text: title(one) })),
      run?.id ?? "",
    );
    which.element.hidden = fitting.length < 2;
    form.element.hidden = part.kind === "evaluation";
    if (part.kind !== "evaluation" && !run) form.offer();
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
    const like = (one: RunInfo): boolean => one.model === named?.model && one.n_images === named.n_images;
    return (
      fitting.find((run) => run.id === asked) ??
      fitting.find((run) => named && like(run)) ??
      fitting.find((run) => !run.computed) ??
      fitting[fitting.length - 1] ??
      null
    );
  }

  function said(part: Part, run: RunInfo | null, asked: string, usable: RunInfo[]): HTMLElement[] {
    const words: string[] = (runs ?? []).filter((one) => one.error).map((one) => `${one.name}: ${one.error}`);
    if (asked.startsWith("m-") && !usable.some((one) => one.id === asked))
      words.push("The run of this link was computed before the app was restarted. Analyse the images again to see it.");
    if (run) {
      words.push(...run.notes);
      if (!run.finished) words.push(`${run.name} is not complete; the results so far are displayed.`);
    } else if (part.kind === "evaluation")
      words.push("There is no evaluation. Start the app with camlucida app --run FOLDER, where FOLDER is the output of camlucida evaluate.");
    else if (usable.length) words.push(`None of the runs has an ${part.kind === "embedding" ? "embedding" : "error analysis"}. Analyse images here.`);
    return words.map((text) => h("p", { class: "note" }, text));
  }

  page.store.listen((_, changed) => (changed.has("more") || changed.has("tab") || changed.has("method")) && update());
  return {
    show: () => void load(),
    hide() {
      for (const part of parts) part.hide();
    },
  };
}

function title(run: RunInfo): string {
  if (run.computed) return run.name;
  return `${run.name}: ${run.model}, ${counted(run.n_images, "image")} of ${run.data}`;
}
