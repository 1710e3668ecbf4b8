// Compare: a grid of maps of one picture, two of them over each other, and how alike all of them are.

import { type Explained, picture } from "../api";
import { fill, h } from "../dom";
import { Field, percent, unpack } from "../maps";
import { lookOf, modelOf, type Page, type Tab } from "../page";
import { bars } from "../parts/bars";
import {
  type Axis,
  type Cell,
  type Comparison,
  differing,
  type Expected,
  keyOf,
  laidOut,
  listed,
  type Opinion,
} from "../parts/cells";
import { Chooser } from "../parts/chooser";
import { choice, classesLike, className, isLayered, slider } from "../parts/controls";
import { Grid, type Words } from "../parts/grid";
import { HeatView } from "../parts/heat";
import { Matrix, signed } from "../parts/matrix";
import { ownTop, Scaled } from "../parts/scaled";
import { type Option, Several } from "../parts/several";
import { composed, download } from "../parts/sheet";
import { type Mode, MODES, Swipe } from "../parts/swipe";
import { Task } from "../parts/task";

export const compare: Tab = {
  name: "compare",
  title: "Compare",
  mount,
  show: () => current?.show(),
  hide: () => current?.hide(),
};
let current: { show(): void; hide(): void } | null = null;

const USUAL = ["grad_cam", "layer_cam", "hires_cam", "eigen_cam"];
const RANKS: Option[] = ["predicted", "runner-up", "third"].map((value) => ({ value, text: value, group: "as it is predicted" }));
const MOST = 144;
/** Up to here, in pixels, what to compare is folded away at first: as in compare.css. */
const NARROW = 1000;
/** Stands for every model's own, where no layer was named. */
const DEFAULT = "default layer";
const AXIS_WORDS: Record<Axis, string> = { model: "models", method: "methods", layer: "layers", target: "classes" };

/** The question that the view asks. */
interface Wish {
  picture: string;
  models: string[];
  methods: string[];
  layers: string[];
  targets: string[];
  score: string;
}

/** What has come of the answer. `whole` is all of it. */
interface Found {
  wish: Wish;
  image: HTMLImageElement;
  opinions: Opinion[];
  cells: Cell[];
  whole: Comparison | null;
}

function mount(root: HTMLElement, page: Page): void {
  const own = (name: string): string => page.store.view.more[`compare.${name}`] ?? "";
  const keep = (patch: Record<string, string>, kept = false): void => {
    const more = { ...page.store.view.more };
    for (const [name, value] of Object.entries(patch))
      if (value) more[`compare.${name}`] = value;
      else delete more[`compare.${name}`];
    page.store.set({ more }, kept);
  };
  const keepList = (name: string, usual: string[] = []) => (values: string[]) =>
    keep({ [name]: values.join() === usual.join() ? "" : values.join(",") }, true);

  const chooser = new Chooser(page);
  const task = new Task(page, "Explaining");
  const models = new Several("Models", (values) => keepList("models", [modelOf(page).name])(values));
  const methods = new Several("Methods", keepList("methods", USUAL), {
    hint: "or type one: refine(layer_cam)",
    like: (text) => [
      ...page.start.methods.filter((one) => one.name.includes(text.toLowerCase())).map((one) => plain(one.name)),
      ...(text.endsWith(")") ? [plain(text)] : []),
    ],
  });
  const layers = new Several("Layers", keepList("layers"));
  const targets = new Several("Classes", keepList("targets", ["predicted", "runner-up"]), {
    hint: "or search a class",
    like: (text) => classesLike(first().labels, text).map((index) => named(index)),
  });
  const across = choice("What goes across", (value) => keep({ across: value }));
  const scale = h("input", { type: "checkbox", id: "compare-scale", onchange: () => keep({ scale: scale.checked ? "one" : "" }) });
  const opacity = slider("Opacity", { min: 0, max: 1, step: 0.01 }, (value) => page.store.set({ opacity: value }));
  const summary = h("p", { class: "summary" });
  const faults = h("ul", { class: "faults" });
  const keepButton = h("button", { class: "save", onclick: () => void save() }, "Grid as a picture");
  const opinions = h("section", { class: "card opinions" });
  const grid = new Grid(page.painter, choose);
  const swipe = new Swipe(page.painter);
  const modes = h("div", { class: "row modes", role: "group", "aria-label": "How to look at A and B" });
  const sides = h("div", { class: "pairwords" });
  const pair = h("section", { class: "card pair" }, h("h2", {}, "A and B"), modes, swipe.element, sides);
  const matrix = new Matrix((one, other) => {
    const maps = pictured();
    keep({ a: keyOf(maps[one]!), b: keyOf(maps[other]!) });
    pair.scrollIntoView({ block: "nearest" });
  });
  const apart = new HeatView("overlay", page.painter);
  const alike = h(
    "section",
    { class: "card alike" },
    h("h2", {}, "How alike they are"),
    h("p", { class: "note" }, "Spearman's rank correlation over all places of the picture that were seen: 1 where two maps have the same order, 0 where they share none, −1 where it is turned round. Only the order counts, not how high a map is."),
    h("div", { class: "two" }, matrix.element, h("div", { class: "apart" }, h("h3", {}, "Where they differ"), apart.element)),
  );
  fill(
    root,
    h("div", { class: "pictures" }, chooser.element),
    h(
      "details",
      { class: "controls", open: window.innerWidth > NARROW },
      h("summary", {}, "What to compare"),
      page.start.models.length > 1 ? models.element : null,
      methods.element,
      layers.element,
      targets.element,
      across.element,
      h("div", { class: "switch" }, scale, h("label", { for: "compare-scale" }, "One scale for maps by the same method at the same layer")),
      opacity.element,
    ),
    h("div", { class: "found" }, h("div", { class: "row status" }, summary, keepButton), task.element, faults, opinions, grid.element, pair, alike),
  );

  let found: Found | null = null;
  let fields = new Map<string, Field>();
  let asked = "";
  let stopped = false;
  let turn = 0;
  let drawn = "";
  let shows = false;

  grid.ondrawn = () => {
    root.dataset.scale = own("scale") || "own";
    if (found?.whole) root.dataset.drawn = `${found.whole.picture} ${pictured().length}`;
  };

  function first() {
    return modelOf(page, wish().models[0]);
  }

  function named(index: number): Option {
    return { value: String(index), text: className(page, index, first().name) };
  }

  function wish(): Wish {
    const view = page.store.view;
    const known = listed(own("models")).filter((name) => page.start.models.some((one) => one.name === name));
    const or = (values: string[], usual: string[]): string[] => (values.length ? values : usual);
    return {
      picture: view.picture,
      models: or(known, [modelOf(page).name]),
      methods: or(listed(own("methods")), USUAL.filter((name) => page.start.methods.some((one) => one.name === name))),
      layers: listed(own("layers")),
      targets: or(listed(own("targets")), ["predicted", "runner-up"]),
      score: view.score,
    };
  }

  /** How many maps that would be. */
  function count(of: Wish): number {
    const free = (method: string): boolean => page.start.methods.some((one) => one.name === method && one.class_free);
    const classes = new Set(of.targets.flatMap((one) => (one === "top3" ? RANKS.map((rank) => rank.value) : [one]))).size;
    return of.models.reduce((sum, name) => {
      const have = of.layers.filter((layer) => modelOf(page, name).layers.some((one) => one.name === layer)).length || 1;
      const places = (method: string): number =>
        (isLayered(page, method) && !/\b(refine|fuse_\w+)\(/.test(method) ? have : 1) * (free(method) ? 1 : classes);
      return sum + of.methods.reduce((all, method) => all + places(method), 0);
    }, 0);
  }

  /** Ask for what is wished, unless it is there. */
  async function update(again = false): Promise<void> {
    const wanted = wish();
    controls(wanted);
    if (!wanted.picture) return;
    const key = JSON.stringify(wanted);
    if (key === asked && !again) return draw();
    const mine = ++turn;
    task.stop();
    delete root.dataset.drawn;
    const many = count(wanted);
    if (many > MOST) {
      asked = "";
      root.removeAttribute("aria-busy");
      fill(summary, `That would be ${many} maps; at most ${MOST} are made at once. Take something away.`);
      root.dataset.refused = String(many);
      return;
    }
    delete root.dataset.refused;
    asked = key;
    stopped = false;
    root.setAttribute("aria-busy", "true");
    let image: HTMLImageElement;
    try {
      image = await picture(wanted.picture);
    } catch (error) {
      if (mine !== turn) return;
      asked = "";
      root.removeAttribute("aria-busy");
      page.say((error as Error).message, "error");
      return;
    }
    if (mine !== turn) return;
    const coming: Found = { wish: wanted, image, opinions: [], cells: [], whole: null };
    fields = new Map();
    const whole = await task.run<Comparison>("/api/compare", wanted, (name, content) => {
      if (mine !== turn) return;
      if (name === "expected") {
        const { opinion, cells } = content as Expected;
        coming.opinions.push(opinion);
        coming.cells.push(...cells.map((cell) => placedIn(coming, cell)));
      } else if (name === "cells") arrived(coming, (content as { cells: Cell[] }).cells);
      found = coming;
      draw();
    });
    if (mine !== turn) return;
    root.removeAttribute("aria-busy");
    if (whole) {
      coming.opinions = whole.models;
      coming.cells = whole.cells.map((cell) => placedIn(coming, cell));
      coming.whole = whole;
      found = coming;
    }
    stopped = !whole;
    if (!whole && found !== coming) found = null;
    draw();
    if (!found) empty();
  }

  /** Where nobody named a layer, all models' own ones are one place. */
  function placedIn(of: Found, cell: Cell): Cell {
    return of.wish.layers.length || !cell.layer || !cell.method ? cell : { ...cell, layer: DEFAULT };
  }

  /** Cells that have come, in place of those that were awaited. */
  function arrived(of: Found, cells: Cell[]): void {
    const awaited = (cell: Cell): boolean =>
      !cell.map && !cell.error && cells.some((one) => one.model === cell.model && one.method === cell.method);
    const at = of.cells.findIndex(awaited);
    const rest = of.cells.filter((cell) => !awaited(cell));
    rest.splice(at < 0 ? rest.length : at, 0, ...cells.map((cell) => placedIn(of, cell)));
    of.cells = rest;
  }

  /** Nothing came at all. */
  function empty(): void {
    for (const part of [opinions, pair, alike, grid.element]) part.hidden = true;
    fill(faults);
    fill(summary, "There is no answer. ", goOn());
  }

  function goOn(): HTMLElement {
    return h("button", { class: "again", onclick: () => void update(true) }, "Go on");
  }

  function pictured(): Cell[] {
    return found?.cells.filter((cell) => cell.map) ?? [];
  }

  /** The two that are looked at: those of the link, or the first of two methods. */
  function chosen(): [Cell | undefined, Cell | undefined] {
    const maps = pictured();
    const of = (name: string): Cell | undefined => maps.find((cell) => keyOf(cell) === own(name));
    const a = of("a") ?? maps.find((cell) => cell !== of("b"));
    const others = maps.filter((cell) => cell !== a);
    const alike = (cell: Cell): boolean => cell.method !== a?.method && (!cell.target || cell.target === a?.target);
    const b = of("b");
    return [a, b && b !== a ? b : (others.find(alike) ?? others[0])];
  }

  function choose(key: string): void {
    const [a, b] = chosen().map((cell) => (cell ? keyOf(cell) : "")) as [string, string];
    if (key === b) keep({ a: key, b: a });
    else if (key === a) page.say("This is A already. Choose another map as B.");
    else if (own("a") !== a) keep({ a: key, b: b === key ? a : "" });
    else keep({ b: key });
  }

  /** All that depends on what was found and on how it is to be laid out. */
  function draw(): void {
    if (!found) return;
    const { image, cells, whole } = found;
    for (const cell of cells) {
      const key = keyOf(cell);
      if (cell.map && !fields.has(key)) fields.set(key, Field.of(cell.map, opinionOf(cell).place));
    }
    const layout = laidOut(cells, own("across"));
    const painted = scaled();
    const now = JSON.stringify([asked, own("across"), cells.map((cell) => [keyOf(cell), Boolean(cell.map), Boolean(cell.error)]), Boolean(whole), stopped]);
    if (layout.placed.length && now !== drawn) {
      drawn = now;
      const waiting = root.hasAttribute("aria-busy");
      grid.set({ image, layout, fields: painted, look: lookOf(page), words, caption, name: full, waiting });
    } else grid.paint(lookOf(page), painted);
    grid.element.hidden = !layout.placed.length;
    keepButton.disabled = !pictured().length;
    fill(faults, ...cells.filter((cell) => !cell.method && cell.error).map((cell) => h("li", {}, `${missing(cell)}: ${cell.error}`)));
    describe();
    says();
    drawPair();
    drawAlike();
    controls(wish());
  }

  const missing = (cell: Cell): string => [found!.wish.models.length > 1 ? cell.model : "", cell.layer ?? cell.target ?? ""].filter(Boolean).join(", ");

  /** The maps as they are painted: on their own scales, or those in one unit on one. */
  function scaled(): Map<string, Field> {
    const groups = new Map<string, Cell[]>();
    for (const cell of pictured()) {
      const unit = `${cell.model}|${cell.method}|${cell.layer}`;
      groups.set(unit, [...(groups.get(unit) ?? []), cell]);
    }
    const several = [...groups.values()].filter((group) => group.length > 1);
    scale.disabled = !several.length;
    if (own("scale") !== "one") return fields;
    const made = new Map(fields);
    for (const group of several) {
      const theirs = group.map((cell) => fields.get(keyOf(cell))!);
      const top = Math.max(...theirs.map(ownTop));
      const signs = theirs.some((field) => field.showsSigns);
      group.forEach((cell, i) => made.set(keyOf(cell), new Scaled(theirs[i]!, unpack(cell.map!.map)[0]!, top, signs)));
    }
    return made;
  }

  function opinionOf(cell: Cell): Opinion {
    return found!.opinions.find((one) => one.model === cell.model)!;
  }

  function words(axis: Axis, value: string, model?: string): Words {
    if (axis === "model") {
      const best = found?.opinions.find((one) => one.model === value)?.predictions[0];
      return best ? { title: value, below: `${best.name}, ${percent(best.probability)}` } : { title: value };
    }
    if (axis === "layer") {
      const sizes = new Set(pictured().filter((cell) => cell.layer === value).map((cell) => `${cell.map!.map.height} × ${cell.map!.map.width}`));
      return sizes.size === 1 ? { title: value, below: [...sizes][0]! } : { title: value };
    }
    if (axis === "method") return { title: value };
    const whose = found?.opinions.filter((one) => !model || one.model === model) ?? [];
    const known = whose.flatMap((one) => one.targets.filter((target) => target.key === value));
    const names = [...new Set(known.map((target) => target.name))];
    const rank = RANKS.some((one) => one.value === value);
    if (names.length !== 1) return { title: value, below: names.join(", ") };
    const guess = whose.length === 1 ? whose[0]!.predictions.find((one) => one.index === known[0]!.index) : undefined;
    const below = [rank ? value : "", guess ? percent(guess.probability) : ""].filter(Boolean).join(", ");
    return below ? { title: names[0]!, below } : { title: names[0]! };
  }

  const score = (map: Explained): string => `${map.score_kind.replace("_", " ")} ${map.score.toPrecision(3)}`;

  function caption(cell: Cell): string {
    const map = cell.map!;
    const several = (found?.opinions.length ?? 1) > 1;
    const parts = [cell.target ? score(map) : "for every class"];
    if (several && cell.target && RANKS.some((one) => one.value === cell.target)) parts.unshift(map.target);
    if (several && cell.layer === DEFAULT) parts.push(map.layer);
    return parts.join(" · ");
  }

  /** What tells it from the others. */
  function label(cell: Cell): string {
    const maps = pictured();
    const said = differing(maps).map((axis) => (axis === "target" ? cell.target && cell.map!.target : axis === "layer" ? cell.layer : cell[axis]));
    return said.filter(Boolean).join(" · ");
  }

  /** All of it. */
  function full(cell: Cell): string {
    const map = cell.map!;
    return [cell.method, map.layer === "input" ? "the picture itself" : map.layer, cell.target ? map.target : "every class", cell.model, ...(cell.target ? [score(map)] : [])].join(", ");
  }

  function describe(): void {
    const maps = pictured();
    const { whole } = found!;
    const axes = differing(maps);
    const same = maps.length
      ? [
          axes.includes("model") ? "" : maps[0]!.model,
          axes.includes("method") ? "" : maps[0]!.method!,
          axes.includes("layer") ? "" : ([...new Set(maps.filter((cell) => cell.layer).map((cell) => cell.map!.layer))].join(", ")),
          axes.includes("target") ? "" : (maps.find((cell) => cell.target)?.map!.target ?? ""),
        ]
      : [];
    const how =
      own("scale") === "one" && !scale.disabled
        ? "Maps by one method at one layer share a scale: there, equal colours are equal values. Others do not compare."
        : "Each map is on its own scale: equal colours are not equal values.";
    const said = [`${maps.length} ${maps.length === 1 ? "map" : "maps"}`, ...same.filter(Boolean), whole ? `${whole.seconds.toPrecision(2)} s` : ""];
    fill(
      summary,
      h("b", {}, said.filter(Boolean).join(" · ")),
      " ",
      stopped ? "Stopped before the end; what was made is kept. " : how,
      stopped ? goOn() : null,
    );
  }

  /** What the models predict, where there are several. */
  function says(): void {
    const several = (found?.opinions.length ?? 0) > 1;
    opinions.hidden = !several;
    if (!several) return;
    const best = found!.opinions.map((one) => one.predictions[0]!);
    const one = new Set(best.map((guess) => guess.name)).size === 1;
    const who = found!.opinions.map((opinion, i) => `${opinion.model} says ${best[i]!.name} (${percent(best[i]!.probability)})`);
    fill(
      opinions,
      h("h2", {}, "What they say"),
      h("p", { class: "verdict", "data-agree": one ? "yes" : "no" }, one ? `They agree on ${best[0]!.name}: ${best.map((guess, i) => `${found!.opinions[i]!.model} ${percent(guess.probability)}`).join(", ")}.` : `They differ: ${who.join(", ")}.`),
      h(
        "div",
        { class: "each" },
        ...found!.opinions.map((opinion) =>
          h("div", {}, h("h3", {}, opinion.model), bars(opinion.predictions, null, (index) => add(opinion, index))),
        ),
      ),
    );
  }

  /** Also for this class of a model. */
  function add(opinion: Opinion, index: number): void {
    const name = className(page, index, opinion.model);
    const here = opinion.model === first().name ? index : first().labels.indexOf(name);
    if (here < 0) return page.say(`${first().name} has no class ${name}.`, "error");
    const now = wish().targets;
    if (!now.includes(String(here))) keepList("targets")([...now, String(here)]);
  }

  function drawPair(): void {
    const [a, b] = chosen();
    pair.hidden = !a || !b;
    grid.select(a ? keyOf(a) : "", b ? keyOf(b) : "");
    if (!a || !b || !found) return swipe.rest();
    const mode = (MODES.find(([name]) => name === own("view"))?.[0] ?? "swipe") satisfies Mode;
    const held = modes.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.mode : undefined;
    fill(
      modes,
      ...MODES.map(([name, text]) =>
        h("button", { "data-mode": name, "aria-pressed": String(name === mode), onclick: () => keep({ view: name === "swipe" ? "" : name }) }, text),
      ),
      h("button", { class: "quiet", "data-mode": "swap", onclick: () => keep({ a: keyOf(b), b: keyOf(a) }) }, "Swap A and B"),
    );
    if (held) modes.querySelector<HTMLElement>(`[data-mode="${held}"]`)?.focus();
    const now = JSON.stringify([found.wish.picture, keyOf(a), keyOf(b), mode, asked]);
    if (pair.dataset.shown !== now) {
      pair.dataset.shown = now;
      const side = (cell: Cell) => ({ field: fields.get(keyOf(cell))!, words: label(cell) });
      swipe.set(found.image, side(a), side(b), lookOf(page), mode);
    }
    const at = (cell: Cell): number => pictured().indexOf(cell);
    const value = found.whole?.correlation?.[at(a)]?.[at(b)];
    fill(
      sides,
      ...([["A", a], ["B", b]] as const).map(([letter, cell]) =>
        h("p", {}, h("b", { class: letter.toLowerCase() }, letter), ` ${full(cell)}, ${cell.map!.map.height} × ${cell.map!.map.width}`),
      ),
      value === undefined ? null : h("p", { class: "rho" }, value === null ? "One of them is the same everywhere: it has no rank correlation." : `Rank correlation ${signed(value)}.`),
      h("p", { class: "note" }, "Choose a map in the grid as B; choose B once more to make it A."),
    );
  }

  function drawAlike(): void {
    const whole = found?.whole;
    alike.hidden = !whole?.correlation;
    if (!whole?.correlation) return;
    const maps = pictured();
    const [a, b] = chosen();
    matrix.set(whole.correlation, maps.map(label), a ? maps.indexOf(a) : -1, b ? maps.indexOf(b) : -1);
    const told = whole.disagreement;
    apart.element.parentElement!.hidden = !told;
    if (!told || alike.dataset.shown === asked) return;
    alike.dataset.shown = asked;
    const field = new Field(unpack(told.map)[0]!, told.place, false, false, 100);
    apart.set(found!.image, field, lookOf(page), `The standard deviation over all ${maps.length} maps, each divided by its maximum: at most ${told.map.peak.toFixed(2)} here, at most 0.5 at all.`);
  }

  async function save(): Promise<void> {
    if (!found) return;
    const maps = pictured();
    const model = found.wish.models.join(", ");
    const canvas = composed({
      layout: laidOut(found.cells, own("across")),
      title: summary.querySelector("b")?.textContent?.replace(/ · [\d.e+-]+ s$/, "") ?? `${maps.length} maps`,
      footer: `${own("scale") === "one" ? "maps by one method at one layer share a scale" : "each map has its own scale"} · ${model} · ${found.whole?.name ?? found.wish.picture} · camlucida ${page.start.version}`,
      words,
      at: ({ cell, again }) => ({
        canvas: again ? undefined : grid.canvas(cell),
        text: again ? "as above" : (cell.error ?? (cell.map ? caption(cell) : "")),
      }),
    });
    await download(canvas, `compare-${found.wish.picture}.png`);
  }

  function controls(now: Wish): void {
    models.set(now.models.map(plain), page.start.models.map((one) => plain(one.name)));
    methods.set(
      now.methods.map(plain),
      page.start.methods.map((one) => ({ ...plain(one.name), group: one.quick ? "at once" : "takes a while" })),
    );
    const have = now.models.map((name) => modelOf(page, name));
    const all = new Map(have.flatMap((model) => model.layers.map((layer) => [layer.name, layer] as const)));
    const offered = [...all.values()].map((layer) => ({
      value: layer.name,
      text: layer.grid ? `${layer.label} · ${layer.grid.join(" × ")}` : layer.label,
      ...(have.length > 1 ? { group: have.filter((model) => model.layers.some((one) => one.name === layer.name)).map((model) => model.name).join(", ") } : {}),
    }));
    layers.set(now.layers.map((name) => plain(name)), offered, have.length > 1 ? "each model's default" : `the default, ${have[0]!.layers.at(-1)?.label ?? "none"}`);
    targets.set(
      now.targets.map((key) => (/^\d+$/.test(key) ? named(Number(key)) : { value: key, text: told(key) })),
      [...RANKS, ...(first().labels.length <= 30 ? first().labels.map((text, index) => ({ value: String(index), text, group: "by name" })) : [])],
    );
    const axes = found ? differing(found.cells.filter((cell) => cell.method)) : [];
    across.options(
      [{ value: "", text: "what there is most of" }, ...axes.map((axis) => ({ value: axis, text: AXIS_WORDS[axis] }))],
      axes.includes(own("across") as Axis) ? own("across") : "",
    );
    scale.checked = own("scale") === "one";
    opacity.set(page.store.view.opacity);
  }

  /** "predicted: mug", as soon as that is known. */
  function told(key: string): string {
    const one = found?.opinions.length === 1 && found.wish.picture === page.store.view.picture ? found.opinions[0]! : null;
    const name = one?.targets.find((target) => target.key === key)?.name;
    return name && name !== key ? `${key}: ${name}` : key;
  }

  page.store.listen((view, changed) => {
    if (view.tab !== "compare" || !shows) return;
    if (["picture", "model", "score", "more"].some((name) => changed.has(name))) void update();
    if (["opacity", "colormap", "threshold", "contour", "blend"].some((name) => changed.has(name)) && found) {
      opacity.set(view.opacity);
      grid.paint(lookOf(page), scaled());
      swipe.paint(lookOf(page));
      apart.paint(lookOf(page));
    }
  });
  for (const part of [opinions, pair, alike, grid.element]) part.hidden = true;
  current = {
    show() {
      shows = true;
      void chooser.load();
      void update();
    },
    hide() {
      shows = false;
      if (!found?.whole) asked = "";
      turn++;
      root.removeAttribute("aria-busy");
      task.stop();
      swipe.rest();
    },
  };
}

const plain = (name: string): Option => ({ value: name, text: name });
