// Cover a part of the picture; score and map change at once.

import { post } from "../../api/http";
import { decodeImage } from "../../api/images";
import { busy, fill, h } from "../../dom";
import { Field } from "../../maps/field";
import { seen } from "../../maps/landing";
import { percent, portion } from "../../numbers";
import { lookOf, type Page } from "../../page";
import { choice, slider } from "../../parts/controls";
import { HeatView } from "../../parts/heat";
import { segments } from "../../parts/segments";
import { Trouble } from "../../parts/trouble";
import { Brush } from "./brush";
import { Latest } from "./latest";
import type { Box } from "./mask";
import type { Now, Part } from "./part";
import { change, meaning, stands, told } from "./stands";
import type { Covered } from "./wire";

const FILLS = [
  { value: "blur", text: "blurred image" },
  { value: "grey", text: "grey" },
  { value: "mean", text: "mean colour of the rest" },
];
/** The share of the picture that a verdict blurs out, too. */
const TOP = 0.2;

export function cover(page: Page): Part {
  const own = page.store.own("trust");
  const brush = new Brush();
  const view = new HeatView("overlay", page.painter);
  const outcome = told();
  const trouble = new Trouble();
  const classes = h("div");
  const latest = new Latest<object, Covered>(
    "/api/occlude",
    (answer) => void draw(answer),
    (error) => trouble.tell(error),
    (waiting) => busy(element, waiting),
  );
  let now: Now | null = null;

  const size = slider("Brush size", { min: 0.01, max: 0.2, step: 0.005 }, (value) => (brush.size = value), portion);
  size.set(brush.size);
  const fills = choice("Infill", (value) => {
    own.set({ fill: value === "blur" ? null : value });
    ask();
  });
  const tool = segments("Tool", [["paint", "Paint"], ["erase", "Erase"]], (name) => {
    brush.erasing = name === "erase";
    tool.set(name);
  });
  tool.set("paint");
  const undo = h("button", { onclick: () => brush.undo() }, "Undo");
  const clear = h("button", { onclick: () => brush.clear() }, "Clear");
  const mark = h("button", { class: "main", onclick: coverMarked }, "Occlude the highlighted region");
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
    "Occlude the box",
  );
  const keep = h("button", { onclick: () => void takeAlong() }, "Use the occluded image");
  const element = h(
    "div",
    { class: "cover" },
    h(
      "p",
      { class: "lead" },
      "Paint over a region of the image. If the prediction does not change, the model does not need the region.",
    ),
    outcome.element,
    trouble.element,
    h(
      "div",
      { class: "canvases" },
      h(
        "section",
        { class: "card", "aria-label": "Paint" },
        h("div", { class: "row" }, tool.element, undo, clear),
        brush.element,
        size.element,
        fills.element,
        h("div", { class: "row" }, mark, box),
      ),
      h("section", { class: "card", "aria-label": "Result" }, view.element, classes, keep),
    ),
  );
  brush.onchange = (painting) => {
    buttons();
    if (now && painting && now.slow) return;
    ask();
  };

  function buttons(): void {
    undo.disabled = !brush.mask.canUndo;
    clear.disabled = keep.disabled = brush.mask.share === 0;
  }

  function question() {
    return { ...now!.doubt, target: String(now!.made.index ?? now!.doubt.target ?? ""), mask: brush.mask.packed(), infill: fills.select.value };
  }

  function ask(): void {
    if (now) latest.ask(question(), now.slow);
  }

  /** The places where the map is highest, and above its lowest value: a fifth of the picture at most. */
  function coverMarked(): void {
    const { width, height, marked } = brush.mask;
    const landed = now!.field.landed(width, height);
    const known = [...landed.keys()].filter((i) => !Number.isNaN(landed[i]!));
    const low = known.reduce((least, i) => Math.min(least, landed[i]!), Infinity);
    const best = known.filter((i) => landed[i]! > Math.max(low, 0)).sort((a, b) => landed[b]! - landed[a]!);
    const next = new Uint8Array(marked.length);
    for (const i of best.slice(0, Math.round(TOP * known.length))) next[i] = 1;
    if (best.length) brush.cover(next);
    else outcome.say("The map highlights no region here.");
  }

  async function draw(answer: Covered): Promise<void> {
    const image = await decodeImage(answer.preview);
    trouble.clear();
    const one = answer.classes[0]!;
    view.set(image, Field.of(answer.map, answer.map.geometry), lookOf(page), `New map for ${one.name}`);
    fill(classes, stands(answer.classes, answer.target));
    outcome.say(
      answer.fraction > 0
        ? `${change(one)}: ${meaning(one)} ${portion(answer.fraction)} of the image is occluded.`
        : `${one.name} ${percent(one.before)}. Nothing is occluded yet.`,
    );
    element.dataset.share = answer.fraction.toFixed(4);
    element.dataset.after = one.after.toFixed(6);
  }

  async function takeAlong(): Promise<void> {
    try {
      const kept = await post<Covered>("/api/occlude", { ...question(), keep: true });
      if (!kept.image) return;
      page.store.set({ image: kept.image }, true);
      page.say("All tabs now use the occluded image. The Back button of the browser returns to the previous one.");
    } catch (error) {
      page.failed(error);
    }
  }

  /** What the network sees of the picture, in shares of it. */
  function sight({ answer }: Now): Box {
    const [width, height] = answer.geometry.original;
    const [left, top, right, bottom] = seen(answer.geometry);
    return [left / width, top / height, right / width, bottom / height];
  }

  return {
    name: "cover",
    title: "Occlude",
    element,
    show(next) {
      const other = !now || now.image !== next.image;
      now = next;
      fills.options(FILLS, own.get("fill") || "blur");
      if (!fills.select.value) fills.select.value = "blur";
      if (other) brush.set(next.image, sight(next));
      buttons();
      if (!next.slow) return ask();
      view.set(next.image, next.field, lookOf(page), `The map for ${next.made.target}`);
      outcome.say(`${next.made.method} is slow: the map is computed when you release the brush.`);
    },
    paint: () => view.paint(lookOf(page)),
    hide: () => latest.stop(),
  };
}
