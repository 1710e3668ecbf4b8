// Creating a study: which methods, how many images, how many questions.

import { useState } from "preact/hooks";
import { stream } from "../../api/stream";
import type { Schemas } from "../../api/types";
import { counted, minutes } from "../../numbers";
import { layerOptions, NumberField, Select } from "../../shared/controls";
import { methodName } from "../../shared/method_names";
import { methodOptions, ModelPicker } from "../../shared/method_picker";
import { TaskState } from "../../shared/progress_bar";
import { useRequest } from "../../shared/use_request";
import { app, methodNamed, modelOf, say } from "../../state/app";
import { view } from "../../state/view";

const USUAL = ["grad_cam", "layer_cam", "eigen_cam", "random_cam"];
const MAX_METHODS = 8;

export function CreateStudy({ created }: { created: () => void }) {
  const { data } = app.start;
  const { layers } = modelOf();
  const available = data.count.toLocaleString("en");
  const [methods, setMethods] = useState<readonly string[]>(USUAL.filter((name) => methodNamed(name)));
  const [layer, setLayer] = useState("");
  const [numbers, setNumbers] = useState({ n_images: Math.min(12, data.count), pairs: 3, ratings: 1, seed: 0 });
  const [body, setBody] = useState<object | null>(null);
  const request = useRequest<Schemas["StudyState"]>(body && JSON.stringify(body), async (signal, listener) => {
    const made = await stream<Schemas["StudyState"]>("/api/study/create", body, listener, signal);
    const left = made.study?.left_out ?? 0;
    say(left ? `The study was created; ${counted(left, "image")} could not be explained.` : "The study was created.");
    created();
    return made;
  });
  const n = methods.length;
  const pairs = Math.min(numbers.pairs, (n * (n - 1)) / 2);
  const ratings = Math.min(numbers.ratings, n);
  const total = numbers.n_images * (pairs + ratings);
  const problems = [
    n < 2 && "Select at least two methods.",
    n > MAX_METHODS && `Select at most ${MAX_METHODS} methods; ${n} are selected.`,
    pairs + ratings < 1 && "Ask for at least one pair or rating per image.",
  ];
  const wrong = problems.find(Boolean);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (wrong || request.busy) return;
    const next = { model: view.model.value, methods, layer: layer || null, ...numbers };
    if (JSON.stringify(next) === JSON.stringify(body)) request.retry();
    else setBody(next);
  };
  const number = (label: string, key: keyof typeof numbers, max: number, note: string, min = 0) => {
    const change = ({ value }: HTMLInputElement): void => setNumbers({ ...numbers, [key]: Number(value) });
    return <NumberField label={label} value={numbers[key]} min={min} max={max} note={note} change={change} />;
  };
  const offered = methodOptions().map((option) => methodNamed(option.value)!);
  const boxes = (quick: boolean) =>
    offered
      .filter((one) => one.quick === quick)
      .map(({ name, summary }) => {
        const others = methods.filter((one) => one !== name);
        return (
          <label class="method" key={name} title={name}>
            <input
              type="checkbox"
              value={name}
              checked={methods.includes(name)}
              onChange={(event) => setMethods(event.currentTarget.checked ? [...others, name] : others)}
            />
            <span>
              <b>{methodName(name)}</b>
              <span class="note">{summary}</span>
            </span>
          </label>
        );
      });
  return (
    <div class="making">
      <form class="card" onSubmit={submit}>
        <h2>Create a blind study</h2>
        <p>
          Participants see maps without method names and choose the one that explains the prediction better. The maps are computed
          once, and all questions are written to the folder of the study.
        </p>
        <fieldset>
          <legend>Methods, two to eight</legend>
          <div class="methods" tabIndex={0} role="group" aria-label="Fast methods">{boxes(true)}</div>
          <details>
            <summary>Slow methods</summary>
            <div class="methods">{boxes(false)}</div>
          </details>
          <p class="note">Include Random-CAM as an attention check: its maps are random.</p>
        </fieldset>
        <div class="fields">
          <ModelPicker />
          <Select
            label="Layer"
            value={layer}
            options={[{ value: "", text: `the default${layers.length ? `, ${layers.at(-1)!.label}` : ""}` }, ...layerOptions(layers)]}
            change={setLayer}
          />
          {number("Images", "n_images", Math.min(200, data.count), `selected at random from the ${available} of ${data.name}`, 1)}
          {number("Pairs per image", "pairs", 28, "two maps: which is better?")}
          {number("Ratings per image", "ratings", MAX_METHODS, "one map: how good, 1 to 5?")}
          {number("Seed", "seed", 2 ** 31, "of all random choices")}
        </div>
        <p class="sum" aria-live="polite">
          {wrong ||
            `${counted(n, "method")} on ${counted(numbers.n_images, "image")}: ${counted(pairs, "pair")} and ` +
              `${counted(ratings, "rating")} per image: ${counted(total, "question")} per participant, ${minutes(total)}.`}
        </p>
        <div class="row">
          <button class="main large" type="submit" disabled={request.busy || Boolean(wrong)}>Create the study</button>
          <TaskState what="Computing the maps" request={request} />
        </div>
      </form>
    </div>
  );
}
