// The controls that say what is compared, and how it is laid out.

import { classesLike, className } from "../../classes";
import { h } from "../../dom";
import { modelOf, type Page } from "../../page";
import { layerWords, opacitySlider } from "../../parts/choices";
import { check, choice, type Option } from "../../parts/controls";
import { type Axis, differing } from "./cells";
import type { Found } from "./found";
import { Several } from "./several";
import { METHODS, RANKS, TARGETS, type Wish, wishOf } from "./wish";

const AXIS_WORDS: Record<Axis, string> = { model: "models", method: "methods", layer: "layers", target: "classes" };
/** Up to here, in pixels, what to compare is folded away at first: as in compare.css. */
const NARROW = 1000;
/** Up to so many classes are listed; more are searched. */
const LISTED = 30;

export class Wishing {
  readonly element: HTMLElement;
  private readonly own;
  private readonly models;
  private readonly methods;
  private readonly layers;
  private readonly targets;
  private readonly across = choice("Columns", (value) => this.own.set({ across: value }));
  private readonly scale = h("input", { type: "checkbox", id: "compare-scale", onchange: () => this.share() });

  constructor(private readonly page: Page) {
    this.own = page.store.own("compare");
    this.models = new Several("Models", (values) => this.keep("models", values, [modelOf(page).name]));
    this.methods = new Several("Methods", (values) => this.keep("methods", values, METHODS), {
      hint: "or type one: refine(layer_cam)",
      like: (text) => [
        ...page.start.methods.filter((one) => one.name.includes(text.toLowerCase())).map((one) => plain(one.name)),
        ...(text.endsWith(")") ? [plain(text)] : []),
      ],
    });
    this.layers = new Several("Layers", (values) => this.keep("layers", values, []));
    this.targets = new Several("Classes", (values) => this.keep("targets", values, TARGETS), {
      hint: "or search for a class",
      like: (text) => classesLike(this.first.labels, text).map((index) => this.named(index)),
    });
    this.element = h(
      "details",
      { class: "controls", open: window.innerWidth > NARROW },
      h("summary", {}, "Selection"),
      page.start.models.length > 1 ? this.models.element : null,
      this.methods.element,
      this.layers.element,
      this.targets.element,
      this.across.element,
      check("Shared scale for maps of the same method and layer", this.scale),
      opacitySlider(page).element,
    );
  }

  /** Whether maps in one unit share a scale. */
  get shared(): boolean {
    return this.own.get("scale") === "one";
  }

  /** Also for a class by its number in the first model. */
  add(index: number): void {
    const now = wishOf(this.page).targets;
    if (!now.includes(String(index))) this.keep("targets", [...now, String(index)], TARGETS);
  }

  show(now: Wish, found: Found | null): void {
    const { page } = this;
    this.models.set(now.models.map(plain), page.start.models.map((one) => plain(one.name)));
    const methods = page.start.methods.map((one) => ({ ...plain(one.name), group: one.quick ? "fast" : "slow" }));
    this.methods.set(now.methods.map(plain), methods);
    this.showLayers(now);
    const some = this.first.labels.length <= LISTED ? this.first.labels : [];
    this.targets.set(
      now.targets.map((key) => (/^\d+$/.test(key) ? this.named(Number(key)) : { value: key, text: told(key, found) })),
      [...RANKS, ...some.map((text, index) => ({ value: String(index), text, group: "by name" }))],
    );
    const axes = found ? differing(found.cells.filter((cell) => cell.method)) : [];
    const across = this.own.get("across");
    this.across.options(
      [{ value: "", text: "longest list" }, ...axes.map((axis) => ({ value: axis, text: AXIS_WORDS[axis] }))],
      axes.some((axis) => axis === across) ? across : "",
    );
    this.scale.checked = this.shared;
    this.scale.disabled = found !== null && !found.alike.length;
  }

  private showLayers(now: Wish): void {
    const have = now.models.map((name) => modelOf(this.page, name));
    const all = new Map(have.flatMap((model) => model.layers.map((layer) => [layer.name, layer] as const)));
    const whose = (name: string): string =>
      have.filter((model) => model.layers.some((one) => one.name === name)).map((model) => model.name).join(", ");
    const offered = [...all.values()].map((layer): Option => {
      const option = { value: layer.name, text: layerWords(layer) };
      return have.length > 1 ? { ...option, group: whose(layer.name) } : option;
    });
    const usual = have.length > 1 ? "each model's default" : `the default, ${have[0]!.layers.at(-1)?.label ?? "none"}`;
    this.layers.set(now.layers.map(plain), offered, usual);
  }

  private get first() {
    return modelOf(this.page, wishOf(this.page).models[0]);
  }

  private named(index: number): Option {
    return { value: String(index), text: className(this.page, index, this.first.name) };
  }

  private keep(name: string, values: string[], usual: string[]): void {
    this.own.set({ [name]: values.join() === usual.join() ? "" : values.join(",") }, true);
  }

  private share(): void {
    this.own.set({ scale: this.scale.checked ? "one" : "" });
  }
}

const plain = (name: string): Option => ({ value: name, text: name });

/** "predicted: mug", as soon as that is known. */
function told(key: string, found: Found | null): string {
  const one = found?.opinions.length === 1 ? found.opinions[0]! : null;
  const name = one?.targets.find((target) => target.key === key)?.name;
  return name && name !== key ? `${key}: ${name}` : key;
}
