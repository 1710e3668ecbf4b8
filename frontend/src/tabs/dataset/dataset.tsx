// Data set: an embedding of the images, the confusion matrix, the most confident errors, evaluations.

import "../../styles/dataset.css";
import type { ComponentType } from "preact";
import { counted } from "../../numbers";
import { Select } from "../../shared/controls";
import { Pending } from "../../shared/pending";
import { SegmentedControl } from "../../shared/segmented_control";
import { useGet } from "../../shared/use_request";
import { setTabValues, tabValue } from "../../state/view";
import { AnalyseForm } from "./analyse_form";
import { Audits } from "./audits";
import { Confusion } from "./confusion";
import { Embedding } from "./embedding";
import { Errors } from "./errors";
import { Evaluations } from "./evaluation";
import type { RunInfo, RunList, Subset } from "./schemas";
import { searchOfView, SelectionBar, selectionOfView, useSubset } from "./selection";

export interface PartProps {
  run: RunInfo;
  /** The images to which the search and the selection restrict the run; null for all. */
  subset: Subset | null;
  /** Whether it belongs to the present search and selection. */
  current: boolean;
}

interface Part {
  name: string;
  title: string;
  /** The kind of runs that it displays. */
  kind: RunInfo["kinds"][number];
  Component: ComponentType<PartProps>;
}

const PARTS: readonly Part[] = [
  { name: "scatter", title: "Embedding", kind: "embedding", Component: Embedding },
  { name: "confusion", title: "Confusion", kind: "mistakes", Component: Confusion },
  { name: "errors", title: "Most confident errors", kind: "mistakes", Component: Errors },
  { name: "evaluation", title: "Evaluations", kind: "evaluation", Component: Evaluations },
];

export function Dataset() {
  const request = useGet<RunList>("/api/dataset/runs");
  const runs = request.data?.runs ?? (request.error ? [] : null);
  const usable = (runs ?? []).filter((run) => !run.error);
  const fits = (part: Part): boolean => usable.some((run) => run.kinds.includes(part.kind));
  const part = PARTS.find((one) => one.name === tabValue("dataset.part")) ?? PARTS.find(fits) ?? PARTS[0]!;
  const fitting = usable.filter((run) => run.kinds.includes(part.kind));
  const run = selectRun(usable, fitting, tabValue("dataset.run"));
  const ofImages = part.kind !== "evaluation";
  const subset = useSubset(ofImages ? run : null, searchOfView(), selectionOfView());
  const { Component } = part;
  const titleOf = (one: RunInfo): string =>
    one.computed ? one.name : `${one.name}: ${one.model}, ${counted(one.n_images, "image")} of ${one.data}`;
  return (
    <div class="dataset-tab" data-part={part.name} data-run={runs ? (run?.id ?? "none") : undefined}>
      <div class="head">
        <SegmentedControl
          label="Views of the data set"
          segments={PARTS.map(({ name, title }) => [name, title] as const)}
          value={part.name}
          change={(name) => setTabValues({ "dataset.part": name }, true)}
        />
        {fitting.length > 1 && (
          <Select
            label="Run"
            value={run?.id ?? ""}
            options={fitting.map((one) => ({ value: one.id, text: titleOf(one) }))}
            change={(id) => setTabValues({ "dataset.run": id, "dataset.cell": null, "dataset.cell_names": null, "dataset.metric": null }, true)}
          />
        )}
      </div>
      {ofImages && runs && <AnalyseForm empty={!run} done={request.retry} />}
      <Pending requests={[request]} what="Reading the runs" />
      {runs && (
        <div class="notes">
          {notesOf(part, run, runs).map((text) => <p class="note" key={text}>{text}</p>)}
        </div>
      )}
      {request.data && <Audits audits={request.data.audits ?? []} />}
      {run && ofImages && <SelectionBar run={run} subset={subset} />}
      {run && <Component run={run} subset={subset.data} current={subset.current} key={`${part.name} ${run.id}`} />}
    </div>
  );
}

/** The one that was selected; else one of the same model and images; else the latest that was computed here, or the first. */
function selectRun(usable: readonly RunInfo[], fitting: readonly RunInfo[], id: string): RunInfo | null {
  const selected = usable.find((run) => run.id === id);
  return (
    fitting.find((run) => run.id === id) ??
    fitting.find((run) => run.model === selected?.model && run.n_images === selected.n_images) ??
    fitting.find((run) => !run.computed) ??
    fitting.at(-1) ??
    null
  );
}

function notesOf(part: Part, run: RunInfo | null, runs: readonly RunInfo[]): string[] {
  const usable = runs.filter((one) => !one.error);
  const notes = runs.filter((one) => one.error).map((one) => `${one.name}: ${one.error}`);
  const id = tabValue("dataset.run");
  if (id.startsWith("m-") && !usable.some((one) => one.id === id))
    notes.push("The run of this link was computed before the app was restarted. Analyse the images again to see it.");
  if (run) {
    notes.push(...run.notes);
    if (!run.finished) notes.push(`${run.name} is not complete; the results so far are displayed.`);
  } else if (part.kind === "evaluation")
    notes.push("There is no evaluation. Start the app with camlucida app --run FOLDER, where FOLDER is the output of camlucida evaluate.");
  else if (usable.length)
    notes.push(`None of the runs has an ${part.kind === "embedding" ? "embedding" : "error analysis"}. Analyse images here.`);
  return notes;
}
