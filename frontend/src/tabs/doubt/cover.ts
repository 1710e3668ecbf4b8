// Cover a part of the picture; score and map change at once.

import type { Covered } from "../../api";
import { post } from "../../api";
import { fill, h } from "../../dom";
import { percent, seen } from "../../maps";
import { lookOf, type Page } from "../../page";
import { Brush } from "../../parts/brush";
import { choice, slider } from "../../parts/controls";
import { HeatView } from "../../parts/heat";
import { Latest } from "./latest";
import { decoded, fieldOf, type Now, type Part, portion } from "./part";
import { change, meaning, stands, told } from "./stands";

const FILLS = [
  { value: "blur", text: "a blur of itself" },
  { value: "grey", text: "grey" },
  { value: "mean", text: "the mean colour of the rest" },
];
/** The share of the picture that a verdict blurs out, too. */
const TOP = 0.2;

export function cover(page: Page): Part {
  const brush = new Brush();
  const view = new HeatView("overlay", page.painter);
  const outcome = told();
  const classes = h("div");
  const latest = new Latest<object, Covered>("/api/cover", (answer) => void draw(answer), failed, busy);
  let now: Now | null = null;

  const size = slider("Size of the brush", { min: 0.01, max: 0.2, step: 0.005 }, (value) => (brush.size = value), portion);
  size.set(brush.size);
  const fills = choice("Cover it with", (value) => {
    page.store.setMore("doubt.fill", value === "blur" ? null : value);
    ask();
  });
  const tools = (["Paint", "Erase"] as const).map((name) =>
    h("button", { "aria-pressed": String(name === "Paint"), onclick: () => take(name === "Erase") }, name),
  );
  const undo = h("button", { onclick: () => brush.undo() }, "Undo");
  const clear = h("button", { onclick: () => brush.clear() }, "Clear");
  const mark = h("button", { class: "main", onclick: coverMarked }, "Cover what the map marks");
  const seeBox = (on: boolean) => () => brush.showBox(on);
  const box = h(
    "button",
    {
      onclick: () => brush.fillBox(1),
      onpointerenter: seeBox(true),
      onpointerleave: seeBox(false),
      onfocus: seeBox(true),
      onblur: seeBox(false),
    },
    "Cover the box",
  );
  const keep = h("button", { onclick: () => void takeAlong() }, "Take the covered picture along");
  const element = h(
    "div",
    { class: "cover" },
    h(
      "p",
      { class: "lead" },
      "Paint over what you think the model looks at. If its answer stays, it did not need that.",
    ),
    outcome.element,
    h(
      "div",
      { class: "canvases" },
      h(
        "section",
        { class: "card", "aria-label": "Paint" },
        h("div", { class: "row" }, h("div", { class: "row", role: "group", "aria-label": "Tool" }, ...tools), undo, clear),
        brush.element,
        size.element,
        fills.element,
        h("div", { class: "row" }, mark, box),
      ),
      h("section", { class: "card", "aria-label": "What comes of it" }, view.element, classes, keep),
    ),
  );
  brush.onchange = (painting) => {
    buttons();
    if (now && painting && now.slow) return;
    ask();
  };

  function take(erasing: boolean): void {
    brush.erasing = erasing;
    tools.forEach((tool, i) => tool.setAttribute("aria-pressed", String((i === 1) === erasing)));
  }

  function buttons(): void {
    undo.disabled = !brush.canUndo;
    clear.disabled = keep.disabled = brush.share === 0;
  }

  function question() {
    return { ...now!.doubt, target: String(now!.made.index ?? now!.doubt.target ?? ""), mask: brush.packed(), fill: fills.select.value };
  }

  function ask(): void {
    if (now) latest.ask(question(), now.slow);
  }

  /** The places where the map is highest, and above its lowest value: a fifth of the picture at most. */
  function coverMarked(): void {
    const { width, height, marked } = brush.cells;
    const landed = now!.field.landed(width, height);
    const known = [...landed.keys()].filter((i) => !Number.isNaN(landed[i]!));
    const low = known.reduce((least, i) => Math.min(least, landed[i]!), Infinity);
    const best = known.filter((i) => landed[i]! > Math.max(low, 0)).sort((a, b) => landed[b]! - landed[a]!);
    const next = new Uint8Array(marked.length);
    for (const i of best.slice(0, Math.round(TOP * known.length))) next[i] = 1;
    if (best.length) brush.cover(next);
    else outcome.say("The map marks nothing here.");
  }

  async function draw(answer: Covered): Promise<void> {
    const image = await decoded(answer.image);
    const one = answer.classes[0]!;
    view.set(image, fieldOf(answer.heat), lookOf(page), `The map for ${one.name} now`);
    fill(classes, stands(answer.classes, answer.target));
    outcome.say(
      answer.share > 0
        ? `${change(one)}: ${meaning(one)} You covered ${portion(answer.share)} of the picture.`
        : `${one.name} ${percent(one.before)}. Nothing is covered yet.`,
    );
    element.dataset.share = answer.share.toFixed(4);
    element.dataset.after = one.after.toFixed(6);
  }

  async function takeAlong(): Promise<void> {
    try {
      const kept = await post<Covered>("/api/cover", { ...question(), keep: true });
      if (!kept.picture) return;
      page.store.set({ picture: kept.picture }, true);
      page.say("All tabs look at the covered picture now. Back leads to the one before.");
    } catch (error) {
      failed(error as Error);
    }
  }

  function failed(error: Error): void {
    page.say(error.message, "error");
  }

  function busy(waiting: boolean): void {
    if (waiting) element.setAttribute("aria-busy", "true");
    else element.removeAttribute("aria-busy");
  }

  /** What the network sees of the picture, in shares of it. */
  function sight({ answer }: Now): [number, number, number, number] {
    const [width, height] = answer.place.original;
    const [left, top, right, bottom] = seen(answer.place);
    return [left / width, top / height, right / width, bottom / height];
  }

  return {
    name: "cover",
    title: "Cover",
    element,
    show(next) {
      const other = !now || now.image !== next.image;
      now = next;
      fills.options(FILLS, page.store.view.more["doubt.fill"] ?? "blur");
      if (!fills.select.value) fills.select.value = "blur";
      if (other) brush.set(next.image, sight(next));
      buttons();
      if (!next.slow) return ask();
      view.set(next.image, next.field, lookOf(page), `The map for ${next.made.target}`);
      outcome.say(`${next.made.method} takes a while: it is asked when you lift the brush.`);
    },
    paint: () => view.paint(lookOf(page)),
    hide: () => latest.stop(),
  };
}
