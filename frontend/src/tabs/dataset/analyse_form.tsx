// Analyse a part of the data set here and now.

import { useEffect, useRef, useState } from "preact/hooks";
import { stream } from "../../api/stream";
import { CheckBox, Select, TextField } from "../../shared/controls";
import { ModelPicker } from "../../shared/method_picker";
import { TaskState } from "../../shared/progress_bar";
import { useRequest } from "../../shared/use_request";
import { app, modelOf } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import type { RunInfo } from "./schemas";

const COUNTS = [100, 300, 500, 1000] as const;
/** A data set up to this size is analysed with a built-in network, in seconds, without being asked for. */
const SMALL = 500;
let startedOnce = false;

/** `empty`: there is nothing to be seen yet. */
export function AnalyseForm({ empty, done }: { empty: boolean; done: () => void }) {
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
