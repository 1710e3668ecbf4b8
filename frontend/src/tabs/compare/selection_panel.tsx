// The controls that say what is compared, and how it is laid out.

import { sized } from "../../numbers";
import { CheckBox, type Option, Select } from "../../shared/controls";
import { methodName } from "../../shared/method_names";
import { methodOptions } from "../../shared/method_picker";
import { OpacitySlider } from "../../shared/opacity_slider";
import { app, modelOf } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import { QuestionField } from "../explain/question_field";
import { kindOf, type Targets } from "../explain/targets";
import { MultiSelect } from "./multi_select";
import type { Results } from "./results";
import { type Selection, setSelection } from "./selection";
import { type Axis, differing } from "./table_layout";
import { TargetSelect } from "./target_select";

const AXES: Record<Axis, string> = { model: "models", method: "methods", layer: "layers", target: "classes" };
/** Up to this width, in pixels, the selection is folded at first: as in compare.css. */
const NARROW_PX = 1000;

export const isSharedScale = (): boolean => tabValue("compare.scale") === "one";

export function SelectionPanel(props: { selection: Selection; results: Results | null; targets: Targets | null }) {
  const { selection, results, targets } = props;
  const first = modelOf(selection.models[0]);
  const kind = kindOf(targets, first);
  const asked = selection.models.some((name) => modelOf(name).image_targets === "question");
  const set = (name: Parameters<typeof setSelection>[0], values: readonly string[]): void => setSelection(name, values, targets);
  const method = (name: string): Option => ({ value: name, text: methodName(name) });
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
          change={(values) => set("models", values)}
        />
      )}
      <MultiSelect
        label="Methods"
        selected={selection.methods.map(method)}
        options={methodOptions(first.name)}
        change={(values) => set("methods", values)}
        search={{
          placeholder: "or type one: refine(layer_cam)",
          find: (text) => [
            ...app.start.methods.map((one) => method(one.name)).filter((one) => matches(one, text)),
            ...(text.endsWith(")") ? [plain(text)] : []),
          ],
        }}
      />
      <LayerSelect selection={selection} change={(values) => set("layers", values)} />
      {asked && <QuestionField />}
      <TargetSelect kind={kind} model={first} targets={targets} selection={selection} results={results} change={(values) => set("targets", values)} />
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

function LayerSelect({ selection, change }: { selection: Selection; change: (values: string[]) => void }) {
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
      change={change}
    />
  );
}

