// Look: a picture, its map, the map over it; any layer, class and method.

import { type Answer, explain, picture, wasStopped } from "../api";
import { fill, h, settled } from "../dom";
import { Classes } from "../look/classes";
import { Downloads } from "../look/downloads";
import { Layers } from "../look/layers";
import { Methods } from "../look/methods";
import { captions, headline, notes } from "../look/notes";
import { optionsOf, questionOf } from "../look/question";
import { fieldOf, Stages } from "../look/stages";
import { lookOf, modelOf, type Page, type Tab } from "../page";
import { Chooser } from "../parts/chooser";
import { fuses, isLayered, isQuick } from "../parts/controls";
import { HeatView, type Window } from "../parts/heat";
import { painting } from "../parts/painting";
import { Scale } from "../parts/scale";
import { read, written, Zoom } from "../parts/zoom";
import type { View } from "../view";

export { questionOf };

export const look: Tab = {
  name: "look",
  title: "Look",
  mount,
  show: () => current?.show(),
  hide: () => current?.hide(),
};
let current: { show(): void; hide(): void } | null = null;

const ASKS = ["picture", "model", "method", "layer", "target", "score"] as const;
/** Milliseconds of quiet after which the other layers are fetched. */
const QUIET = 150;

function mount(root: HTMLElement, page: Page): void {
  const chooser = new Chooser(page);
  const [photo, heat, overlay] = (["photo", "heat", "overlay"] as const).map((kind) => new HeatView(kind, page.painter)) as [
    HeatView,
    HeatView,
    HeatView,
  ];
  const views = [photo, heat, overlay];
  const scale = new Scale(page.painter);
  const remember = settled(300, (text: string) => page.store.setMore("look.zoom", text));
  const zoom = new Zoom(views, (window) => remember(written(window)));
  const classes = new Classes(page);
  const layers = new Layers(page);
  const methods = new Methods(page);
  const downloads = new Downloads(page, overlay);
  const stages = new Stages();
  const head = h("div", { class: "head" });
  const trouble = h("div", { class: "trouble", role: "alert" });
  const waiting = h("div", { class: "waiting" });
  const told = h("div");
  heat.element.append(scale.element);
  fill(
    root,
    h("aside", { class: "pictures", "aria-label": "Pictures" }, chooser.element),
    h(
      "div",
      { class: "stage" },
      head,
      waiting,
      trouble,
      h("div", { class: "views" }, ...views.map((view) => view.element)),
      layers.element,
      h("div", { class: "row tools" }, zoom.element, downloads.element),
      told,
    ),
    h("aside", { class: "controls", "aria-label": "How" }, classes.element, methods.element, painting(page)),
  );

  let asked = 0;
  let running: AbortController | null = null;
  let drawn: { answer: Answer; view: View } | null = null;

  async function update(): Promise<void> {
    const view = page.store.view;
    if (!view.picture) return;
    const mine = ++asked;
    const began = performance.now();
    running?.abort();
    running = null;
    const question = questionOf(page, view);
    const stage = stages.of(question, view.layer);
    root.setAttribute("aria-busy", "true");
    try {
      const [image, answer] = await Promise.all([picture(view.picture), stage ?? ask(view)]);
      if (mine !== asked) return;
      draw(image, answer, view);
      root.dataset.waited = String(Math.round(performance.now() - began));
      root.dataset.seconds = String(answer.seconds);
      prefetch();
    } catch (error) {
      if (mine === asked) await fail(error as Error, view, mine);
    } finally {
      if (mine === asked) {
        root.removeAttribute("aria-busy");
        fill(waiting);
      }
    }
  }

  /** What takes long shows how far it is, and can be stopped. */
  function ask(view: View): Promise<Answer> {
    const question = questionOf(page, view);
    if (isQuick(page, view.method)) return explain(question);
    const mine = (running = new AbortController());
    const bar = h("progress", { "aria-label": `${view.method}` });
    fill(waiting, h("div", { class: "task" }, `${view.method} …`, bar, h("button", { onclick: () => mine.abort() }, "Stop")));
    const progress = (done: number, total: number): void => {
      bar.max = total;
      bar.value = done;
    };
    return explain(question, { progress }, mine.signal);
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
    fill(trouble);
    root.classList.remove("stale");
    const made = answer.maps[0]!;
    root.dataset.drawn = `${answer.picture} ${made.method} ${made.layer} ${made.target}`;
  }

  /** What cannot be done is said beside what was there before; nothing is lost. */
  async function fail(error: Error, view: View, mine: number): Promise<void> {
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
    const back = patch && h("button", { onclick: () => page.store.set(patch) }, "Back to what is shown");
    if (before && !again && before.picture !== view.picture && (await shown(view, mine))) {
      // The picture is there, only its map is not.
      if (mine !== asked) return;
      drawn = null;
      fill(trouble, h("p", {}, sentence(error)));
      return;
    }
    if (mine !== asked) return;
    root.classList.toggle("stale", Boolean(drawn));
    fill(trouble, h("p", {}, sentence(error)), back);
  }

  /** Show the photo alone; false where even that is not there. */
  async function shown(view: View, mine: number): Promise<boolean> {
    try {
      const image = await picture(view.picture);
      if (mine === asked) {
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
    const layered = isLayered(page, view.method) && !fuses(view.method);
    if (view.tab !== "look" || !layered || !isQuick(page, view.method) || all.length < 2) return;
    if (!drawn || drawn.view.picture !== view.picture || stages.has(question)) return;
    const names = all.map((layer) => layer.name);
    void stages.fetch(question, names).then((here) => here && (root.dataset.stages = `${view.picture} ${names.length}`));
  });

  function controls(): void {
    methods.show();
    classes.controls();
    layers.show(drawn?.answer.maps[0]!.layer);
  }

  for (const view of views) {
    view.explorable();
    view.onpoint = (x, y) => views.forEach((other) => other !== view && other.mark(x, y));
  }
  let options = JSON.stringify(optionsOf(page.store.view));
  page.store.listen((view, changed) => {
    if (view.tab !== "look") return;
    controls();
    const now = JSON.stringify(optionsOf(view));
    if (ASKS.some((key) => changed.has(key)) || now !== options) {
      options = now;
      stages.stop();
      void update();
    } else if (["opacity", "colormap", "threshold", "contour", "blend"].some((key) => changed.has(key))) {
      views.forEach((one) => one.paint(lookOf(page)));
      if (drawn) scale.show(fieldOf(drawn.answer), lookOf(page));
    }
  });
  let linked: Window | null = read(page.store.view.more["look.zoom"]);
  current = {
    show() {
      controls();
      void chooser.load();
      options = JSON.stringify(optionsOf(page.store.view));
      void update().then(() => {
        if (linked) zoom.set(linked);
        linked = null;
      });
    },
    hide() {
      asked++;
      running?.abort();
      stages.stop();
      root.removeAttribute("aria-busy");
      fill(waiting);
    },
  };
}

function sentence(error: Error): string {
  if (wasStopped(error)) return "Stopped.";
  const text = error.message;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A view's own values with the method's options of another. */
function withOptionsOf(view: View, other: View): Record<string, string> {
  const more = { ...view.more };
  delete more["look.options"];
  const options = other.more["look.options"];
  return options ? { ...more, "look.options": options } : more;
}
