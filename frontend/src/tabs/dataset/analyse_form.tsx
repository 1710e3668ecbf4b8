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
  const total = app.start.data.count;
  const counts = COUNTS.filter((_, i) => i === 0 || COUNTS[i - 1]! < total);
  const link = useRef(/^m-[0-9a-f]+-(\d+)-(\d+)-([01])$/.exec(tabValue("dataset.run"))).current;
  const linked = link && counts.some((one) => String(one) === link[1]) ? link[1]! : null;
  const [n, setN] = useState(linked ?? String(counts[Math.min(1, counts.length - 1)]));
  const [seed, setSeed] = useState(link?.[2] ?? "0");
  const [maps, setMaps] = useState(link ? link[3] === "1" : true);
  const [open, setOpen] = useState(false);
  const [body, setBody] = useState<object | null>(null);
  const request = useRequest<RunInfo>(body && JSON.stringify(body), (signal, listener) =>
    stream<RunInfo>("/api/dataset/analyse", body, listener, signal),
  );
  const analyse = (how: object = {}): void => {
    startedOnce = true;
    const seedNumber = Math.max(0, Math.round(Number(seed) || 0));
    // A number that changes: the same request can be sent again after it was stopped.
    setBody({ model: modelOf().name, n_images: Number(n), seed: seedNumber, maps, ...how });
    if (body && !request.busy) request.retry();
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
    setMaps(false);
    setN(String(counts.at(-1)));
    analyse({ maps: false, n_images: counts.at(-1) });
  }, [empty]);
  return (
    <details class="card looking" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Analyse images</summary>
      <p class="note">
        Computes an embedding of the images, the confusion matrix, and the most confident errors with maps of the predicted and of
        the true class, for images of {app.start.data.name}. The results are kept until the app is stopped; an interrupted analysis
        resumes.
      </p>
      <div class="row fields">
        <ModelPicker />
        <Select
          label="Images"
          value={n}
          options={counts.map((one) => ({ value: String(one), text: one < total ? `${one} at random` : `all ${total}` }))}
          change={setN}
        />
        <TextField label="Seed" value={seed} number={{ min: 0, max: 2 ** 31, step: 1 }} change={setSeed} />
        <CheckBox label="measure maps as well" checked={maps} change={setMaps} />
        <button class="main" disabled={request.busy} onClick={() => analyse()}>
          Analyse
        </button>
      </div>
      <TaskState what="Analysing the images" request={request} />
    </details>
  );
}
