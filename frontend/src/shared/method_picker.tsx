// The methods that run on a model, with the time that the slow ones take, and a sentence about the selected one.

import { duration } from "../numbers";
import { app, methodCostsOf, methodNamed, methodOfView } from "../state/app";
import { setView, view } from "../state/view";
import { type Option, Select } from "./controls";
import { methodName } from "./method_names";

/** The options of a selection of methods; methods that do not run on the model are left out. */
export function methodOptions(model = view.model.value): Option[] {
  const costs = methodCostsOf(model).value;
  const known = app.start.methods.map((method) => ({ ...method, ...costs?.get(method.name) }));
  return known.filter(({ reason }) => !reason).map(({ name, quick, layered, seconds }) => ({
    value: name,
    text: methodName(name) + (quick || !seconds ? "" : ` · about ${duration(seconds)}`),
    title: name,
    group: `${layered ? "Maps of a layer" : "Maps of the input"}, ${quick ? "fast" : "slow"}`,
  }));
}

export function MethodPicker(props: { change: (name: string) => void }) {
  const value = methodOfView();
  const options = methodOptions();
  const known = methodNamed(value);
  if (!options.some((option) => option.value === value))
    options.unshift({ value, text: methodName(value), group: known ? "Does not run on this model" : "Combined" });
  // Of an expression, the combinators and methods in it, the outermost first.
  const all = [...app.start.combinators, ...app.start.methods];
  const parts = (value.match(/[a-z_]\w*/gi) ?? []).flatMap((word) => all.find((part) => part.name === word) ?? []);
  return (
    <div class="method-picker">
      <Select label="Method" value={value} options={options} change={props.change} />
      <p class="note">
        {known ? (
          <>
            {known.summary}{" "}
            <span class="formula" tabIndex={0} title={known.paper} aria-label={`Formula: ${known.paper}`}>ƒ</span>
          </>
        ) : (
          parts.map((part) => <span class="part" key={part.name}><b>{part.name}</b>: {part.summary}</span>)
        )}
      </p>
    </div>
  );
}

export function ModelPicker() {
  if (app.start.models.length < 2) return null;
  const options = app.start.models.map(({ name }) => ({ value: name, text: name }));
  const change = (model: string): void => setView({ model, layer: "", target: "" }, true);
  return <Select label="Model" value={view.model.value} options={options} change={change} />;
}
