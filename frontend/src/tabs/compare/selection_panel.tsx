// The controls that say what is compared, and how it is laid out.

import { sized } from "../../numbers";
import { CheckBox, type Option, Select } from "../../shared/controls";
import { matchingClasses } from "../../shared/matching_classes";
import { methodName } from "../../shared/method_names";
import { methodOptions } from "../../shared/method_picker";
import { OpacitySlider } from "../../shared/opacity_slider";
import { app, className, modelOf } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import { MultiSelect } from "./multi_select";
import type { Results } from "./results";
import { RANKS, type Selection, setSelection } from "./selection";
import { type Axis, differing } from "./table_layout";

const AXES: Record<Axis, string> = { model: "models", method: "methods", layer: "layers", target: "classes" };
/** Up to this width, in pixels, the selection is folded at first: as in compare.css. */
const NARROW_PX = 1000;
/** Up to this number of classes they are listed; more are searched. */
const MAX_LISTED = 30;

export const isSharedScale = (): boolean => tabValue("compare.scale") === "one";

export function SelectionPanel({ selection, results }: { selection: Selection; results: Results | null }) {
  const first = modelOf(selection.models[0]);
  const named = (index: number): Option => ({ value: String(index), text: className(index, first.name) });
  const method = (name: string): Option => ({ value: name, text: methodName(name) });
  const listed = first.labels.length <= MAX_LISTED ? first.labels : [];
  const axes = results ? differing(results.cells.filter((cell) => cell.method)) : [];
  const across = tabValue("compare.across");
  return (
    <details class="controls" open={window.innerWidth > NARROW_PX || undefined}>
      <summary>Selection</summary>
      {app.start.models.length > 1 && (
        <MultiSelect
          label="Models"
          selected={selection.models.map(plain)}
          options={app.start.models.map((one) => plain(one.name))}
          change={(values) => setSelection("models", values)}
        />
      )}
      <MultiSelect
        label="Methods"
        selected={selection.methods.map(method)}
        options={methodOptions(first.name)}
        change={(values) => setSelection("methods", values)}
        search={{
          placeholder: "or type one: refine(layer_cam)",
          find: (text) => [
            ...app.start.methods.map((one) => method(one.name)).filter((one) => matches(one, text)),
            ...(text.endsWith(")") ? [plain(text)] : []),
          ],
        }}
      />
      <LayerSelect selection={selection} />
      <MultiSelect
        label="Classes"
        selected={selection.targets.map((key) => (/^\d+$/.test(key) ? named(Number(key)) : { value: key, text: rankText(key, results) }))}
        options={[...RANKS, ...listed.map((text, index) => ({ value: String(index), text, group: "by name" }))]}
        change={(values) => setSelection("targets", values)}
        search={{ placeholder: "or search for a class", find: (text) => matchingClasses(first.labels, text).map(named) }}
      />
      <Select
        label="Columns"
        value={axes.some((axis) => axis === across) ? across : ""}
        options={[{ value: "", text: "longest list" }, ...axes.map((axis) => ({ value: axis, text: AXES[axis] }))]}
        change={(axis) => setTabValues({ "compare.across": axis })}
      />
      <CheckBox
        label="Shared scale for maps of the same method and layer"
        checked={isSharedScale()}
        change={(checked) => setTabValues({ "compare.scale": checked ? "one" : "" })}
      />
      <OpacitySlider />
    </details>
  );
}

const plain = (name: string): Option => ({ value: name, text: name });

const matches = ({ value, text }: Option, words: string): boolean =>
  [value, text].some((name) => name.toLowerCase().includes(words.toLowerCase()));

function LayerSelect({ selection }: { selection: Selection }) {
  const models = selection.models.map((name) => modelOf(name));
  const all = new Map(models.flatMap((model) => model.layers.map((layer) => [layer.name, layer] as const)));
  const owners = (name: string): string =>
    models.filter((model) => model.layers.some((one) => one.name === name)).map((model) => model.name).join(", ");
  const options = [...all.values()].map(({ name, label, grid }): Option => {
    const option = { value: name, text: grid ? `${label} · ${sized(grid)}` : label };
    return models.length > 1 ? { ...option, group: owners(name) } : option;
  });
  const none = models.length > 1 ? "the default layer of each model" : `the default, ${models[0]!.layers.at(-1)?.label ?? "none"}`;
  return (
    <MultiSelect
      label="Layers"
      selected={selection.layers.map(plain)}
      options={options}
      none={none}
      change={(values) => setSelection("layers", values)}
    />
  );
}

/** "predicted: mug", as soon as that is known. */
function rankText(key: string, results: Results | null): string {
  const only = results?.models.length === 1 ? results.models[0]! : null;
  const name = only?.targets.find((target) => target.key === key)?.name;
  return name && name !== key ? `${key}: ${name}` : key;
}
