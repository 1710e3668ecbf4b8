// The controls that say what is compared, and how it is laid out.

import { layerOptions, CheckBox, type Option, Select } from "../../shared/controls";
import { methodName } from "../../shared/method_names";
import { methodOptions } from "../../shared/method_picker";
import { OpacitySlider } from "../../shared/opacity_slider";
import { app, modelOf } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import { QuestionField } from "../explain/question_field";
import type { Targets } from "../explain/targets";
import { MultiSelect } from "./multi_select";
import type { Results } from "./results";
import { type ListName, type Selection, setSelection } from "./selection";
import { differing } from "./table_layout";
import { TargetSelect } from "./target_select";

const AXES = { model: "models", method: "methods", layer: "layers", target: "classes" };
/** Up to this width, in pixels, the selection is folded at first: as in compare.css. */
const NARROW_PX = 1000;

export const isSharedScale = (): boolean => tabValue("compare.scale") === "one";

export function SelectionPanel(props: { selection: Selection; results: Results | null; targets: Targets | null }) {
  const { selection, results, targets } = props;
  const models = selection.models.map((name) => modelOf(name));
  const first = models[0]!;
  const change = (name: ListName) => (values: readonly string[]): void => setSelection(name, values, targets);
  const method = (name: string): Option => ({ value: name, text: methodName(name) });
  const axes = results ? differing(results.cells.filter((cell) => cell.method)) : [];
  const across = axes.find((axis) => axis === tabValue("compare.across")) ?? "";
  return (
    <details class="controls" open={window.innerWidth > NARROW_PX || undefined}>
      <summary>Selection</summary>
      {app.start.models.length > 1 && (
        <MultiSelect
          label="Models"
          selected={selection.models.map(plain)}
          options={app.start.models.map((one) => plain(one.name))}
          change={change("models")}
        />
      )}
      <MultiSelect
        label="Methods"
        selected={selection.methods.map(method)}
        options={methodOptions(first.name)}
        change={change("methods")}
        search={{
          placeholder: "or type one: refine(layer_cam)",
          find: (text) => [
            ...app.start.methods.map((one) => method(one.name)).filter((one) => matches(one, text)),
            ...(text.endsWith(")") ? [plain(text)] : []),
          ],
        }}
      />
      <MultiSelect
        label="Layers"
        selected={selection.layers.map(plain)}
        options={layersOf(models)}
        none={models.length > 1 ? "the default layer of each model" : `the default, ${first.layers.at(-1)?.label ?? "none"}`}
        change={change("layers")}
      />
      {models.some((model) => model.image_targets === "question") && <QuestionField />}
      <TargetSelect model={first} targets={targets} selection={selection} results={results} change={change("targets")} />
      <Select
        label="Columns"
        value={across}
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

/** The layers of all models; those of several models in groups. */
function layersOf(models: readonly ReturnType<typeof modelOf>[]): Option[] {
  const all = new Map(models.flatMap((model) => layerOptions(model.layers).map((option) => [option.value, option])));
  if (models.length === 1) return [...all.values()];
  const owners = (layer: string) => models.filter((model) => model.layers.some((one) => one.name === layer));
  return [...all.values()].map((option) => ({ ...option, group: owners(option.value).map(({ name }) => name).join(", ") }));
}
