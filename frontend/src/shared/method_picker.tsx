// The methods that run on a model, with the time that the slow ones take, and a sentence about the selected one.

import type { MethodChoice } from "../api/types";
import { duration } from "../numbers";
import { app, methodCostsOf, methodNamed, methodOfView } from "../state/app";
import { setView, view } from "../state/view";
import { type Option, Select } from "./controls";
import { methodName } from "./method_names";

/** The options of a selection of methods; methods that do not run on the model are left out. */
export function methodOptions(model = view.model.value): Option[] {
  const costs = methodCostsOf(model).value;
  return app.start.methods
    .filter((method) => !costs?.get(method.name)?.reason)
    .map((method) => {
      const seconds = costs?.get(method.name)?.seconds;
      const time = method.quick || !seconds ? "" : ` · about ${duration(seconds)}`;
      return { value: method.name, text: methodName(method.name) + time, title: method.name, group: groupOf(method) };
    });
}

const groupOf = (method: MethodChoice): string =>
  `${method.layered ? "Maps of a layer" : "Maps of the input"}, ${method.quick ? "fast" : "slow"}`;

export function MethodPicker(props: { change: (name: string) => void }) {
  const value = methodOfView();
  const options = methodOptions();
  const known = methodNamed(value);
  if (!options.some((option) => option.value === value))
    options.unshift({ value, text: methodName(value), group: known ? "Does not run on this model" : "Combined" });
  return (
    <div class="method-picker">
      <Select label="Method" value={value} options={options} change={props.change} />
      <p class="note">
        {known ? (
          <>
            {known.summary}{" "}
            <span class="formula" tabIndex={0} title={known.paper} aria-label={`Formula: ${known.paper}`}>
              ƒ
            </span>
          </>
        ) : (
          partsOf(value).map((part) => (
            <span class="part" key={part.name}>
              <b>{part.name}</b>: {part.summary}
            </span>
          ))
        )}
      </p>
    </div>
  );
}

/** The combinators and methods in an expression, the outermost first. */
function partsOf(expression: string) {
  const parts = [...app.start.combinators, ...app.start.methods];
  const words = expression.match(/[a-z_]\w*/gi) ?? [];
  return words.map((word) => parts.find((part) => part.name === word)).filter((part) => part !== undefined);
}

export function ModelPicker() {
  if (app.start.models.length < 2) return null;
  const options = app.start.models.map(({ name }) => ({ value: name, text: name }));
  const change = (model: string): void => setView({ model, layer: "", target: "" }, true);
  return <Select label="Model" value={view.model.value} options={options} change={change} />;
}
