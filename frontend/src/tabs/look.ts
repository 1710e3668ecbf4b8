// Look: a picture, its map, the map over it; any layer, class and method.

import { wasStopped } from "../api/ask";
import { explain } from "../api/explain";
import { picture } from "../api/pictures";
import type { Answer } from "../api/types";
import { busy, fill, h, settled } from "../dom";
import { isQuick, mapsOneLayer } from "../methods";
import { lookOf, modelOf, type Mounted, type Page, type Tab } from "../page";
import { Chooser } from "../parts/chooser";
import { HeatView, linked, type Window } from "../parts/heat";
import { Task } from "../parts/task";
import { Trouble } from "../parts/trouble";
import { optionsOf, questionOf } from "../question";
import { Turns } from "../turns";
import { onlyRepaints, repaints, type View } from "../view";
import { Classes } from "./look/classes";
import { Downloads } from "./look/downloads";
import { fieldOf } from "./look/fields";
import { Layers } from "./look/layers";
import { Methods } from "./look/methods";
import { captions, headline, notes } from "./look/notes";
import { painting } from "./look/painting";
import { Scale } from "./look/scale";
import { Stages } from "./look/stages";
import { read, written, Zoom } from "./look/zoom";

export const look: Tab = { name: "look", title: "Explain", mount };

const ASKS = ["picture", "model", "method", "layer", "target", "score"] as const;
/** Milliseconds of quiet after which the other layers are fetched. */
const QUIET = 150;

function mount(root: HTMLElement, page: Page): Mounted {
  const own = page.store.own("look");
  const chooser = new Chooser(page);
  const [photo, heat, overlay] = (["photo", "heat", "overlay"] as const).map((kind) => new HeatView(kind, page.painter)) as [
    HeatView,
    HeatView,
    HeatView,
  ];
  const views = [photo, heat, overlay];
  const scale = new Scale(page.painter);
  const remember = settled(300, (text: string) => own.set({ zoom: text }));
  const zoom = new Zoom(views, (window) => remember(written(window)));
  const classes = new Classes(page);
  const layers = new Layers(page);
  const methods = new Methods(page);
  const downloads = new Downloads(page, overlay);
  const stages = new Stages();
  const head = h("div", { class: "head" });
  const trouble = new Trouble();
  const task = new Task("Explaining");
  const told = h("div");
  heat.element.append(scale.element);
  fill(
    root,
    h("aside", { class: "pictures", "aria-label": "Images" }, chooser.element),
    h(
      "div",
      { class: "stage" },
      head,
      task.element,
      trouble.element,
      h("div", { class: "views" }, ...views.map((view) => view.element)),
      layers.element,
      h("div", { class: "row tools" }, zoom.element, downloads.element),
      told,
    ),
    h("aside", { class: "controls", "aria-label": "Settings" }, classes.element, methods.element, painting(page)),
  );

  const turns = new Turns();
  let drawn: { answer: Answer; view: View } | null = null;

  async function update(): Promise<void> {
    const view = page.store.view;
    if (!view.picture) return;
    const signal = turns.begin();
    const began = performance.now();
    task.stop();
    const stage = stages.of(questionOf(page, view), view.layer);
    busy(root, true);
    try {
      const [image, answer] = await Promise.all([picture(view.picture), stage ?? ask(view)]);
      if (signal.aborted) return;
      draw(image, answer, view);
      root.dataset.waited = String(Math.round(performance.now() - began));
      root.dataset.seconds = String(answer.seconds);
      prefetch();
    } catch (error) {
      if (!signal.aborted) await fail(error as Error, view, signal);
    } finally {
      if (turns.done(signal)) busy(root, false);
    }
  }

  /** What takes long shows how far it is, and can be stopped. */
  function ask(view: View): Promise<Answer> {
    const question = questionOf(page, view);
    if (isQuick(page, view.method)) return explain(question);
    return task.follow((hears, signal) => explain(question, hears, signal));
  }

  function draw(image: HTMLImageElement, answer: Answer, view: View): void {
    const field = fieldOf(answer);
    const words = captions(answer);
    if (drawn && drawn.view.picture !== view.picture) zoom.reset();
    drawn = { answer, view };
    for (const one of views) one.set(image, field, lookOf(page), words[one.kind]);
    scale.show(field, lookOf(page));
    classes.show(answer);
    layers.show(answer.maps[0]!.layer);
    downloads.show(answer);
    fill(head, headline(answer));
    fill(told, notes(page, answer));
    trouble.clear();
    root.classList.remove("stale");
    const made = answer.maps[0]!;
    root.dataset.drawn = `${answer.image} ${made.method} ${made.layer} ${made.target}`;
  }

  /** What cannot be done is said beside what was there before; nothing is lost. */
  async function fail(error: Error, view: View, signal: AbortSignal): Promise<void> {
    const before = drawn?.view;
    const again = before && before.picture === view.picture && before.model === view.model;
    const patch = before && {
      picture: before.picture,
      model: before.model,
      method: before.method,
      layer: before.layer,
      target: before.target,
      score: before.score,
      more: withOptionsOf(page.store.view, before),
    };
    const back = patch && h("button", { onclick: () => page.store.set(patch) }, "Back to the displayed map");
    if (before && !again && before.picture !== view.picture && (await shown(view, signal))) {
      // The picture is there, only its map is not.
      if (signal.aborted) return;
      drawn = null;
      trouble.say(sentence(error));
      return;
    }
    if (signal.aborted) return;
    root.classList.toggle("stale", Boolean(drawn));
    trouble.say(sentence(error), back);
  }

  /** Show the photo alone; false where even that is not there. */
  async function shown(view: View, signal: AbortSignal): Promise<boolean> {
    try {
      const image = await picture(view.picture);
      if (!signal.aborted) {
        for (const one of views) one.set(image, null, lookOf(page), one.kind === "heat" ? "no map" : view.picture);
        scale.show(null, lookOf(page));
        fill(head);
        fill(told);
        root.classList.remove("stale");
      }
      return true;
    } catch {
      return false;
    }
  }

  const prefetch = settled(QUIET, () => {
    const view = page.store.view;
    const { layers: all } = modelOf(page, view.model);
    const question = questionOf(page, view);
    if (view.tab !== "look" || !mapsOneLayer(page, view.method) || !isQuick(page, view.method) || all.length < 2) return;
    if (!drawn || drawn.view.picture !== view.picture || stages.has(question)) return;
    const names = all.map((layer) => layer.name);
    void stages.fetch(question, names).then((here) => here && (root.dataset.stages = `${view.picture} ${names.length}`));
  });

  function controls(): void {
    methods.show();
    classes.controls();
    layers.show(drawn?.answer.maps[0]!.layer);
  }

  for (const view of views) view.explorable();
  linked(views);
  let options = JSON.stringify(optionsOf(page.store.view));
  page.store.listen((view, changed) => {
    if (view.tab !== "look") return;
    if (repaints(changed)) {
      views.forEach((one) => one.paint(lookOf(page)));
      if (drawn && changed.has("colormap")) scale.show(fieldOf(drawn.answer), lookOf(page));
    }
    if (onlyRepaints(changed)) return;
    controls();
    const now = JSON.stringify(optionsOf(view));
    if (ASKS.some((key) => changed.has(key)) || now !== options) {
      options = now;
      stages.stop();
      void update();
    }
  });
  let restored: Window | null = read(own.get("zoom"));
  return {
    show() {
      controls();
      void chooser.load();
      options = JSON.stringify(optionsOf(page.store.view));
      void update().then(() => {
        if (restored) zoom.set(restored);
        restored = null;
      });
    },
    hide() {
      turns.end();
      task.stop();
      stages.stop();
      busy(root, false);
    },
  };
}

const sentence = (error: Error): string => (wasStopped(error) ? "Stopped." : error.message);

/** A view's own values with the method's options of another. */
function withOptionsOf(view: View, other: View): Record<string, string> {
  const more = { ...view.more };
  delete more["look.options"];
  const options = other.more["look.options"];
  return options ? { ...more, "look.options": options } : more;
}
