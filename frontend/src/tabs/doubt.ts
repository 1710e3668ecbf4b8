// Doubt: can this map be believed? A verdict, curves, a brush, and small changes; all about the view's map.

import { explain } from "../api/explain";
import { loadImage as picture } from "../api/images";
import type { ExplainResponse as Answer } from "../api/types";
import { busy, fill, h } from "../dom";
import { Field } from "../maps/field";
import { isLayered } from "../methods";
import { lookOf, type Mounted, type Page, type Tab } from "../page";
import { bars } from "../parts/bars";
import { layerChoice, methodChoice, modelChoice } from "../parts/choices";
import { Chooser } from "../parts/chooser";
import { HeatView } from "../parts/heat";
import { segments } from "../parts/segments";
import { Trouble } from "../parts/trouble";
import { questionOf } from "../question";
import { Turns } from "../turns";
import { repaints, type View } from "../view";
import { cover } from "./doubt/cover";
import { curves } from "./doubt/curves";
import type { Now, Part } from "./doubt/part";
import { stability } from "./doubt/stability";
import { verdict } from "./doubt/verdict";
import type { Doubt } from "./doubt/wire";

export const doubt: Tab = { name: "trust", title: "Trust", mount };

function mount(root: HTMLElement, page: Page): Mounted {
  const own = page.store.own("trust");
  const chooser = new Chooser(page);
  const view = new HeatView("overlay", page.painter, 320);
  const method = methodChoice(page, (name) => page.store.set({ method: name }, true));
  const layer = layerChoice(page);
  const about = h("p", { class: "about" });
  const guesses = h("div", { class: "guesses" });
  const unclear = h("p", { class: "note" });
  const trouble = new Trouble();
  const parts: Part[] = [verdict(page), curves(), cover(page), stability(page)];
  const ways = segments(
    "Tests",
    parts.map((part) => [part.name, part.title] as const),
    (name) => own.set({ part: name === parts[0]!.name ? null : name }),
  );
  fill(
    root,
    h(
      "aside",
      { class: "side", "aria-label": "Tested map" },
      h("div", { class: "subject" }, view.element, h("div", {}, about, guesses, unclear)),
      h("details", { class: "card" }, h("summary", {}, "Another image"), chooser.element),
      h(
        "details",
        { class: "card" },
        h("summary", {}, "Another model, method, layer"),
        modelChoice(page),
        method.element,
        layer.element,
      ),
    ),
    h("div", { class: "doubts" }, ways.element, trouble.element, ...parts.map((part) => part.element)),
  );
  const turns = new Turns();
  let now: Now | null = null;
  let shown: Part | null = null;

  async function update(): Promise<void> {
    const given = page.store.view;
    if (!given.image) return;
    const signal = turns.begin();
    busy(root, true);
    try {
      const question = questionOf(page, { ...given, score: "logit", more: {} });
      const [image, answer] = await Promise.all([picture(given.image), explain(question)]);
      if (signal.aborted) return;
      now = nowOf(given, image, answer);
      trouble.clear();
      draw(now);
      open();
    } catch (error) {
      if (!signal.aborted) trouble.tell(error);
    } finally {
      if (turns.done(signal)) busy(root, false);
    }
  }

  function nowOf(given: View, image: HTMLImageElement, answer: Answer): Now {
    const made = answer.maps[0]!;
    const doubted: Doubt = { image: given.image, model: given.model, method: given.method };
    if (given.layer && isLayered(page, given.method)) doubted.layer = given.layer;
    if (given.target) doubted.target = given.target;
    const known = page.start.methods.find((one) => one.name === given.method);
    const slow = known ? !known.quick : answer.seconds > 1;
    return { doubt: doubted, image, answer, made, field: Field.of(made, answer.geometry), slow };
  }

  function draw({ image, answer, made, field }: Now): void {
    view.set(image, field, lookOf(page), `The map for ${made.target}`);
    fill(about, h("b", {}, made.target), ` · ${made.method} · ${made.layer} · ${made.model}`);
    fill(guesses, bars(answer.predictions, made.index, (index) => page.store.set({ target: String(index) }, true)));
    fill(
      unclear,
      made.index === null && "This map does not explain a single class. Select a class above to test its map.",
      page.store.view.score !== "logit" && "The tested map explains the logit of the class.",
    );
    root.dataset.drawn = `${answer.image} ${made.method} ${made.target}`;
  }

  const chosen = (): Part => parts.find((part) => part.name === own.get("part")) ?? parts[0]!;

  /** Bring the part of the view to the front. */
  function open(): void {
    const part = chosen();
    if (shown !== part) shown?.hide();
    shown = part;
    for (const one of parts) one.element.hidden = one !== part;
    ways.set(part.name);
    if (now) part.show(now);
  }

  function controls(): void {
    method.show(page.store.view.method);
    layer.show();
  }

  page.store.listen((given, changed) => {
    if (given.tab !== "trust") return;
    if (["image", "model", "method", "layer", "target"].some((key) => changed.has(key))) {
      controls();
      void update();
    } else if (changed.has("more") && chosen() !== shown) open();
    else if (repaints(changed)) {
      view.paint(lookOf(page));
      shown?.paint();
    }
  });
  return {
    show() {
      controls();
      open();
      void chooser.load();
      void update();
    },
    hide() {
      shown?.hide();
      shown = now = null; // by the time it comes back the view may be another
      turns.end();
    },
  };
}
