// What the model takes for alike: every picture a point, near where the network's last features are near.

import { get } from "../../api/http";
import { busy, fill, h } from "../../dom";
import { counted, tenths } from "../../numbers";
import type { Page } from "../../page";
import { choice } from "../../parts/controls";
import { Trouble } from "../../parts/trouble";
import { Turns } from "../../turns";
import { Card } from "./card";
import type { Dress } from "./dots";
import type { Part } from "./part";
import { Plane } from "./plane";
import { open } from "./ways";
import { type Points, query, type RunInfo } from "./wire";

type By = "truth" | "said" | "right" | "confidence";
const BY: { value: By; text: string }[] = [
  { value: "truth", text: "true class" },
  { value: "said", text: "predicted class" },
  { value: "right", text: "correct or wrong" },
  { value: "confidence", text: "confidence" },
];
const WAYS: Record<string, string> = { tsne: "t-SNE", pca: "PCA", umap: "UMAP" };
/** Networks are mostly sure: the steps are finer at the top. */
const EDGES = [0, 0.5, 0.8, 0.95, 0.99, 1];
const LISTED = 200;

/** A line of the legend: which points, what colour. */
interface Group {
  name: string;
  colour: string;
  points: number[];
}

export function scatter(page: Page): Part {
  const own = page.store.own("dataset");
  const trouble = new Trouble();
  const plane = new Plane("Images as points");
  const card = new Card(page);
  const way = choice("Projection", (value) => own.set({ way: value }, true));
  const colour = choice("Colour", (value) => own.set({ colour: value }, true));
  const legend = h("div", { class: "legend", role: "group", "aria-label": "Show only selected classes" });
  const find = h("input", { type: "search", placeholder: "Find a class", "aria-label": "Show only classes that contain these words", maxlength: 100 });
  const told = h("div", { class: "told" });
  const table = h("details", { class: "card classes" });
  const element = h(
    "div",
    { class: "scatter" },
    h("div", { class: "field-row" }, way.element, colour.element, h("div", { class: "field grow" }, h("label", { for: "dataset-find" }, "Classes"), find)),
    trouble.element,
    h("div", { class: "stage" }, h("div", { class: "left" }, plane.element, legend, told, table), card.element),
  );
  find.id = "dataset-find";
  let points: Points | null = null;
  let run: RunInfo | null = null;
  let groups: Group[] = [];
  const only = new Set<string>();
  let asked = "";
  let drawn = "";
  const turns = new Turns();

  async function load(next: RunInfo): Promise<void> {
    const chosen = own.get("way") || null;
    const path = query("points", { run: next.id, projection: chosen });
    if (path !== asked) {
      const signal = turns.begin();
      asked = path;
      busy(element, true);
      try {
        points = await get<Points>(path, signal);
        trouble.clear();
      } catch (error) {
        if (signal.aborted) return;
        asked = "";
        trouble.tell(error);
        return;
      } finally {
        if (turns.done(signal)) busy(element, false);
      }
      if (asked !== path) return;
      run = next;
      only.clear();
      find.value = "";
      plane.set(points, plain(points));
      card.set(run, points);
      tell(points);
      drawn = "";
    }
    if (!points || run?.id !== next.id) return;
    const by = colouring(points);
    way.options(points.projections.map((value) => ({ value, text: WAYS[value] ?? value })), points.projection);
    colour.options(BY, by);
    if (drawn !== by) {
      drawn = by;
      only.clear();
      groups = grouped(points, by);
    }
    dress();
    element.dataset.drawn = `${run!.id} ${points.projection} ${by}`;
  }

  /** What was asked for; else the classes where they can be told apart by colour. */
  function colouring(found: Points): By {
    const asked = BY.find((one) => one.value === own.get("colour"))?.value;
    if (asked) return asked;
    const many = new Set(found.label_index).size > found.colours.length;
    return found.correct.every((one) => one === -1) ? "said" : many ? "right" : "truth";
  }

  function grouped(found: Points, by: By): Group[] {
    const all = [...found.x.keys()];
    if (by === "right")
      return [
        { name: "correct", colour: "--second", points: all.filter((i) => found.correct[i] === 1) },
        { name: "wrong", colour: "--first", points: all.filter((i) => found.correct[i] === 0) },
        { name: "no label", colour: "--soft", points: all.filter((i) => found.correct[i] === -1) },
      ].filter((group) => group.points.length);
    if (by === "confidence") {
      const colours = page.painter.table("viridis");
      return EDGES.slice(1)
        .map((high, step) => {
          const low = EDGES[step]!;
          const at = 3 * Math.round(((step + 0.5) / (EDGES.length - 1)) * 1024);
          return {
            name: `${100 * low} to ${100 * high} %`,
            colour: `rgb(${colours[at]} ${colours[at + 1]} ${colours[at + 2]})`,
            points: all.filter((i) => found.confidence[i]! >= low && (found.confidence[i]! < high || high === 1)),
          };
        })
        .filter((group) => group.points.length);
    }
    return byClass(found, by === "said" ? found.predicted_index : found.label_index);
  }

  /** The largest classes have colours of their own, the others share a grey one. */
  function byClass(found: Points, of: readonly number[]): Group[] {
    const places = new Map<number, number[]>();
    of.forEach((which, i) => (places.has(which) ? places.get(which)!.push(i) : places.set(which, [i])));
    const sorted = [...places].sort(([a, one], [b, other]) => other.length - one.length || a - b);
    const some = sorted.length <= found.colours.length ? sorted.length : found.colours.length - 1;
    const made = sorted.slice(0, some).map(([which, inside], i) => ({
      name: found.classes[which] ?? "no label",
      colour: which === -1 ? "--soft" : `#${found.colours[i]!}`,
      points: inside,
    }));
    const rest = sorted.slice(some).flatMap(([, inside]) => inside);
    if (rest.length) made.push({ name: `${sorted.length - some} other classes`, colour: "--soft", points: rest });
    return made;
  }

  /** Colours and what is muted, on the plane and in the legend. */
  function dress(): void {
    if (!points) return;
    const found = points;
    const colours = new Array<string>(found.x.length).fill("--soft");
    const muted = new Array<boolean>(found.x.length).fill(only.size > 0);
    for (const group of groups)
      for (const i of group.points) {
        colours[i] = group.colour;
        if (only.has(group.name)) muted[i] = false;
      }
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) {
      const hit = found.classes.map((name) => words.every((word) => name.toLowerCase().includes(word)));
      found.label_index.forEach((which, i) => (muted[i] = muted[i] || !(hit[which] || (which === -1 && hit[found.predicted_index[i]!]))));
    }
    plane.paint({ colours, crossed: found.correct.map((one) => one === 0), muted });
    fill(
      legend,
      ...groups.map((group) => {
        const swatch = h("span", { class: "swatch" });
        swatch.style.background = group.colour.startsWith("--") ? `var(${group.colour})` : group.colour;
        return h(
          "button",
          { "aria-pressed": String(only.has(group.name)), onclick: () => toggle(group.name) },
          swatch,
          h("span", { class: "name" }, group.name),
          h("span", { class: "count" }, group.points.length),
        );
      }),
      found.correct.includes(0) && h("span", { class: "note key" }, "● correct  ✕ wrong"),
    );
  }

  function toggle(name: string): void {
    if (!only.delete(name)) only.add(name);
    const at = groups.findIndex((group) => group.name === name);
    dress();
    (legend.children[at] as HTMLElement | undefined)?.focus();
  }

  function tell(found: Points): void {
    const near = found.projection === "pca" ? "Distances are in the first two components only." : "Neighbourhoods are meaningful; distances between groups and their sizes are not.";
    const alone = found.class_agreement.filter((one) => one.count === 1).length;
    const only = alone > 0 ? ` ${counted(alone, "image")} cannot: there is no other image of ${alone === 1 ? "its" : "their"} class.` : "";
    const some = found.count > found.x.length ? ` ${found.x.length.toLocaleString("en")} of ${counted(found.count, "image")} are displayed, selected at random; neighbours are searched among them.` : "";
    fill(
      told,
      h("p", {}, found.agreement === null ? "" : `Of the labelled images, ${tenths(found.agreement)} have a nearest neighbour with the same label, by the cosine of the features.${only} `, near + some),
      h("p", { class: "note" }, `Features: ${found.feature_source}. Projection: ${found.description}.`),
      found.failed > 0 && h("details", {}, h("summary", {}, `${counted(found.failed, "image")} could not be read or evaluated`), h("ul", {}, ...found.failures.map((one) => h("li", {}, `${one.name}: ${one.reason}`)))),
    );
    const rows = found.class_agreement.slice(0, LISTED);
    table.hidden = rows.length === 0;
    fill(
      table,
      h("summary", {}, "The classes as a table"),
      h(
        "table",
        {},
        h("caption", { class: "note" }, "The number of images of a class with a nearest neighbour of the same class."),
        h("thead", {}, h("tr", {}, ...["class", "images", "neighbour of the same class", "fraction"].map((text) => h("th", { scope: "col" }, text)))),
        h(
          "tbody",
          {},
          ...rows.map((one) =>
            h("tr", {}, h("th", { scope: "row" }, one.name), h("td", {}, one.count), h("td", {}, one.agreeing), h("td", {}, tenths(one.agreeing / one.count))),
          ),
        ),
      ),
      found.class_agreement.length > rows.length && h("p", { class: "note" }, `The largest ${LISTED} of ${found.class_agreement.length} classes.`),
    );
  }

  function mark(point: number): void {
    plane.mark(point);
    card.show(point);
  }

  plane.onmark = mark;
  plane.onpick = (point, touched) => {
    if (touched || !run?.has_images) mark(point);
    else open(page, run, `s${points!.indices[point]!}`);
  };
  card.onchoose = (point) => {
    mark(point);
    plane.reveal(point);
  };
  card.onnear = (near) => plane.mark(card.shown, near);
  find.addEventListener("input", dress);
  return {
    name: "scatter",
    title: "Embedding",
    kind: "embedding",
    element,
    show: (next) => void load(next),
    hide: () => card.leave(),
  };
}

const plain = (found: Points): Dress => ({
  colours: found.x.map(() => "--soft"),
  crossed: found.x.map(() => false),
  muted: found.x.map(() => false),
});
