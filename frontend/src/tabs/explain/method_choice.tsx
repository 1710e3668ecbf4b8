// How it is explained: model, method with its options, combinators, and what a class is scored by.

import { CheckBox, Select, TextField } from "../../shared/controls";
import { MethodPicker, ModelPicker } from "../../shared/method_picker";
import { app, methodInView, methodNamed, methodOfView } from "../../state/app";
import { setTabValues, setView, view } from "../../state/view";
import { optionsOfView } from "./requests";

const PRESETS = ["refine(layer_cam)", "smooth(positive(hires_cam), n=4)", "fuse_mean(grad_cam)", "negative(hires_cam)"];
const SCORES = [
  { value: "logit", text: "logit, as in the papers" },
  { value: "probability", text: "probability" },
  { value: "log_probability", text: "log probability" },
];

/** Another method has other options. */
const selectMethod = (method: string): void =>
  setTabValues({ "explain.options": null }, true, { method: methodInView(method) });

export function MethodChoice() {
  return (
    <section class="decision methods">
      <h3>Method</h3>
      <ModelPicker />
      <MethodPicker change={selectMethod} />
      <Options />
      <details>
        <summary>Combine methods</summary>
        <TextField label="Expression" value={methodOfView()} change={(text) => text && selectMethod(text)} />
        <div class="presets">
          {PRESETS.map((text) => <button class="preset" key={text} onClick={() => selectMethod(text)}>{text}</button>)}
        </div>
        <p class="note">Combinators for any method: {app.start.combinators.map((one) => one.name).join(", ")}.</p>
      </details>
      <Select label="Class score" value={view.score.value} options={SCORES} change={(score) => setView({ score }, true)} />
    </section>
  );
}

type Value = string | number | boolean;

function Options() {
  const defaults = methodNamed(methodOfView())?.options ?? {};
  const now = optionsOfView();
  const entries = Object.entries(defaults).filter(
    ([, usual]) => ["boolean", "number"].includes(typeof usual) || (typeof usual === "string" && !usual.startsWith("(")),
  ) as [string, Value][];
  if (!entries.length) return null;
  const set = (name: string, value: Value): void => {
    const options = { ...now, [name]: value };
    if (value === defaults[name]) delete options[name];
    setTabValues({ "explain.options": Object.keys(options).length ? JSON.stringify(options) : null });
  };
  return (
    <details class="method-options" open={Object.keys(now).length > 0 || undefined}>
      <summary>Options</summary>
      <div class="fields">
        {entries.map(([name, usual]) => {
          const value = (now[name] ?? usual) as Value;
          const common = { key: name, label: name };
          if (typeof usual === "boolean")
            return <CheckBox {...common} checked={Boolean(value)} change={(checked) => set(name, checked)} />;
          if (typeof usual === "number")
            return <TextField {...common} value={String(value)} number={{ step: "any" }} change={(text) => text && set(name, Number(text))} />;
          return <TextField {...common} value={String(value)} change={(text) => text && set(name, text)} />;
        })}
      </div>
    </details>
  );
}
