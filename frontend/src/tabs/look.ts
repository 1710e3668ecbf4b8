// Look: a picture, its map, the map over it; any layer, class and method.

import { type Answer, explain, picture, type Question, wasStopped } from "../api";
import { fill, h } from "../dom";
import { Field } from "../maps";
import { lookOf, modelOf, type Page, type Tab } from "../page";
import { bars } from "../parts/bars";
import { Chooser } from "../parts/chooser";
import { choice, isLayered, methodChoice, modelChoice, slider } from "../parts/controls";
import { HeatView } from "../parts/heat";
import type { View } from "../view";

export const look: Tab = { name: "look", title: "Look", mount, show: () => current?.show() };
let current: { show(): void } | null = null;

/** The question that the view asks. */
export function questionOf(page: Page, view: View): Question {
  const layered = isLayered(page, view.method);
  return {
    picture: view.picture,
    model: view.model,
    methods: [view.method],
    layers: layered && view.layer ? [view.layer] : [],
    targets: view.target ? [view.target] : [],
    score: view.score as "logit",
  };
}

function mount(root: HTMLElement, page: Page): void {
  const chooser = new Chooser(page);
  const views = (["photo", "heat", "overlay"] as const).map((kind) => new HeatView(kind, page.painter));
  const method = methodChoice(page, (name) => page.store.set({ method: name }, true));
  const layer = choice("Layer", (name) => page.store.set({ layer: name }, true));
  const opacity = slider("Opacity", { min: 0, max: 1, step: 0.01 }, (value) => page.store.set({ opacity: value }));
  const guesses = h("div");
  const told = h("p", { class: "told" });
  fill(
    root,
    h("aside", {}, chooser.element),
    h("div", { class: "views" }, ...views.map((view) => view.element), told),
    h("aside", { class: "controls" }, guesses, modelChoice(page), method.element, layer.element, opacity.element),
  );
  let asked = 0;

  async function update(): Promise<void> {
    const view = page.store.view;
    if (!view.picture) return;
    const mine = ++asked;
    root.setAttribute("aria-busy", "true");
    try {
      const [image, answer] = await Promise.all([picture(view.picture), explain(questionOf(page, view))]);
      if (mine === asked) draw(image, answer);
    } catch (error) {
      if (mine === asked && !wasStopped(error)) page.say((error as Error).message, "error");
    } finally {
      if (mine === asked) root.removeAttribute("aria-busy");
    }
  }

  function draw(image: HTMLImageElement, answer: Answer): void {
    const made = answer.maps[0]!;
    const field = Field.of(made, answer.place);
    const words = [answer.name, `${made.method} at ${made.layer}`, made.target];
    views.forEach((view, i) => view.set(image, field, lookOf(page), words[i]!));
    fill(guesses, bars(answer.predictions, made.index, (index) => page.store.set({ target: String(index) }, true)));
    fill(told, `${made.target} · ${made.method} · ${made.layer} · ${made.map.height} × ${made.map.width}`);
    root.dataset.drawn = `${answer.picture} ${made.method} ${made.layer} ${made.target}`;
  }

  function controls(): void {
    const view = page.store.view;
    method.show(view.method);
    const layers = modelOf(page).layers;
    layer.options(
      layers.map((one) => ({ value: one.name, text: `${one.label} · ${one.grid?.join(" × ") ?? ""}` })),
      view.layer || layers[layers.length - 1]!.name,
    );
    opacity.set(view.opacity);
  }

  for (const view of views) view.onpoint = (x, y) => views.forEach((other) => other !== view && other.mark(x, y));
  page.store.listen((_, changed) => {
    if (page.store.view.tab !== "look") return;
    if (["picture", "model", "method", "layer", "target", "score"].some((key) => changed.has(key))) {
      controls();
      void update();
    } else {
      controls();
      views.forEach((view) => view.paint(lookOf(page)));
    }
  });
  current = {
    show() {
      controls();
      void chooser.load();
      void update();
    },
  };
}
