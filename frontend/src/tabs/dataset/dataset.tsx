// Data set: an embedding of the images, the confusion matrix, the most confident errors, evaluations; analysis of images here.

import "../../styles/dataset.css";
import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { stream } from "../../api/stream";
import type { Schemas } from "../../api/types";
import { counted, tenths } from "../../numbers";
import { CheckBox, Select, TextField } from "../../shared/controls";
import { ModelPicker } from "../../shared/method_picker";
import { Pending } from "../../shared/pending";
import { TaskState } from "../../shared/progress_bar";
import { SegmentedControl } from "../../shared/segmented_control";
import { useGet, useRequest } from "../../shared/use_request";
import { app, modelOf } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import { Confusion } from "./confusion";
import { Embedding } from "./embedding";
import { Errors } from "./errors";
import { Evaluations } from "./evaluation";
import { query, type RunInfo, type RunList, type Subset } from "./schemas";
import { searchOfView, select, SelectionBar, selectionOfView, useSubset } from "./selection";

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
      {runs && <div class="notes">{notesOf(part, run, runs).map((text) => <p class="note" key={text}>{text}</p>)}</div>}
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

const COUNTS = [100, 300, 500, 1000] as const;
/** A data set up to this size is analysed with a built-in network, in seconds, without being asked for. */
const SMALL = 500;
let startedOnce = false;

/** `empty`: there is nothing to be seen yet. */
function AnalyseForm({ empty, done }: { empty: boolean; done: () => void }) {
  const { count: total, name } = app.start.data;
  const counts = COUNTS.filter((_, i) => i === 0 || COUNTS[i - 1]! < total).map(String);
  const link = useRef(/^m-[0-9a-f]+-(\d+)-(\d+)-([01])$/.exec(tabValue("dataset.run"))).current;
  const [form, setForm] = useState({
    n: link && counts.includes(link[1]!) ? link[1]! : counts[Math.min(1, counts.length - 1)]!,
    seed: link?.[2] ?? "0",
    maps: link ? link[3] === "1" : true,
  });
  const [open, setOpen] = useState(false);
  const [body, setBody] = useState<object | null>(null);
  const request = useRequest<RunInfo>(body && JSON.stringify(body), (signal, listener) =>
    stream<RunInfo>("/api/dataset/analyse", body, listener, signal),
  );
  const analyse = ({ n, seed, maps } = form): void => {
    startedOnce = true;
    setBody({ model: modelOf().name, n_images: Number(n), seed: Math.max(0, Math.round(Number(seed) || 0)), maps });
    if (body && !request.busy) request.retry(); // the same request can be sent again after it was stopped
  };
  useEffect(() => {
    if (!request.data) return;
    setOpen(false);
    setTabValues({ "dataset.run": request.data.id, "dataset.cell": null }, true);
    done();
  }, [request.data]);
  useEffect(() => {
    if (!empty || startedOnce) return;
    setOpen(true);
    if (link || !modelOf().name.startsWith("toybox") || total > SMALL) return;
    const whole = { ...form, n: counts.at(-1)!, maps: false };
    setForm(whole);
    analyse(whole);
  }, [empty]);
  return (
    <details class="card looking" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Analyse images</summary>
      <p class="note">
        Computes an embedding of the images, the confusion matrix, and the most confident errors with maps of the predicted and of
        the true class, for images of {name}. The results are kept until the app is stopped; an interrupted analysis resumes.
      </p>
      <div class="row fields">
        <ModelPicker />
        <Select
          label="Images"
          value={form.n}
          options={counts.map((value) => ({ value, text: Number(value) < total ? `${value} at random` : `all ${total}` }))}
          change={(n) => setForm({ ...form, n })}
        />
        <TextField label="Seed" value={form.seed} number={{ min: 0, max: 2 ** 31, step: 1 }} change={(seed) => setForm({ ...form, seed })} />
        <CheckBox label="measure maps as well" checked={form.maps} change={(maps) => setForm({ ...form, maps })} />
        <button class="main" disabled={request.busy} onClick={() => analyse()}>Analyse</button>
      </div>
      <TaskState what="Analysing the images" request={request} />
    </details>
  );
}

function Audits({ audits }: { audits: RunList["audits"] }) {
  if (!audits.length) return null;
  return (
    <ul class="audits" aria-label="Audits">
      {audits.map((audit, number) => (
        <li key={audit.link}>
          {audit.error ? `${audit.name}: ${audit.error}` : <a href={audit.link}>{audit.name}</a>}
          {!audit.error && audit.model && ` – audit of ${audit.model}, ${counted(audit.n_images ?? 0, "image")} of ${audit.data}`}
          {!audit.error && <Slices audit={number} />}
        </li>
      ))}
    </ul>
  );
}

/** The slices of an audit, fetched when they are opened. */
function Slices({ audit }: { audit: number }) {
  const [open, setOpen] = useState(false);
  const request = useGet<Schemas["SliceList"]>(open ? query("slices", { audit }) : null);
  const slices = request.data?.slices;
  const selection = selectionOfView();
  return (
    <details class="slices" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Slices</summary>
      <Pending requests={[request]} />
      {slices?.length === 0 && <p class="note">This audit has no slices of the images of the app.</p>}
      {slices && slices.length > 0 && (
        <ul>
          {slices.map(({ name, n, n_listed, accuracy, rest_accuracy, is_worse }, number) => {
            const key = `${audit}-${number}`;
            const on = selection?.kind === "slice" && selection.key === key;
            const listed = n_listed < n ? `, of which ${n_listed} are listed` : "";
            return (
              <li key={key}>
                <button aria-pressed={on} onClick={() => select(on ? null : { kind: "slice", key, name })}>{name}</button>
                <span class="note">
                  {`${counted(n, "image")}${listed}; accuracy ${tenths(accuracy)}, ${tenths(rest_accuracy)} on the others`}
                  {is_worse && " (significantly lower)"}
                </span>
              </li>
            );
          })}
        </ul>
      )}
    </details>
  );
}
