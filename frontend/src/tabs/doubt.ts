// Doubt: can this map be believed? A verdict, curves, a brush, and small changes; all about the view's map.

import { type Answer, type Doubt, explain, picture, wasStopped } from "../api";
import { fill, h } from "../dom";
import { Field } from "../maps";
import { lookOf, modelOf, type Page, type Tab } from "../page";
import { bars } from "../parts/bars";
import { Chooser } from "../parts/chooser";
import { choice, isLayered, methodChoice, modelChoice } from "../parts/controls";
import { HeatView } from "../parts/heat";
import type { View } from "../view";
import { cover } from "./doubt/cover";
import { curves } from "./doubt/curves";
import type { Now, Part } from "./doubt/part";
import { stability } from "./doubt/stability";
import { verdict } from "./doubt/verdict";

export const doubt: Tab = { name: "doubt", title: "Doubt", mount, show: () => current?.show(), hide: () => current?.hide() };
let current: { show(): void; hide(): void } | null = null;

/** What the view's map is called in questions. */
function doubtOf(page: Page, view: View): Doubt {
  const asked: Doubt = { picture: view.picture, model: view.model, method: view.method };
  if (view.layer && isLayered(page, view.method)) asked.layer = view.layer;
  if (view.target) asked.target = view.target;
  return asked;
}

function mount(root: HTMLElement, page: Page): void {
  const chooser = new Chooser(page);
  const view = new HeatView("overlay", page.painter, 320);
  const method = methodChoice(page, (name) => page.store.set({ method: name }, true));
  const layer = choice("Layer", (name) => page.store.set({ layer: name }, true));
  const about = h("p", { class: "about" });
  const guesses = h("div", { class: "guesses" });
  const unclear = h("p", { class: "note" });
  const parts: Part[] = [verdict(page), curves(page), cover(page), stability(page)];
  const buttons = parts.map((part) =>
    h("button", { onclick: () => page.store.setMore("doubt.part", part === parts[0] ? null : part.name) }, part.title),
  );
  fill(
    root,
    h(
      "aside",
      { "aria-label": "The map in question" },
      h("div", { class: "subject" }, view.element, h("div", {}, about, guesses, unclear)),
      h("details", {}, h("summary", {}, "Another picture"), chooser.element),
      h("details", {}, h("summary", {}, "Another model, method, layer"), modelChoice(page), method.element, layer.element),
    ),
    h(
      "div",
      { class: "doubts" },
      h("div", { class: "parts", role: "group", "aria-label": "Ways to doubt" }, ...buttons),
      ...parts.map((part) => part.element),
    ),
  );
  let now: Now | null = null;
  let shown: Part | null = null;
  let asked = 0;

  const partOf = (given: View): Part => parts.find((part) => part.name === given.more["doubt.part"]) ?? parts[0]!;

  async function update(): Promise<void> {
    const given = page.store.view;
    if (!given.picture) return;
    const mine = ++asked;
    root.setAttribute("aria-busy", "true");
    try {
      const named = doubtOf(page, given);
      const question = {
        picture: given.picture,
        model: given.model,
        methods: [given.method],
        layers: named.layer ? [named.layer] : [],
        targets: given.target ? [given.target] : [],
        score: "logit" as const,
      };
      const [image, answer] = await Promise.all([picture(given.picture), explain(question)]);
      if (mine !== asked) return;
      now = nowOf(named, image, answer);
      draw(now);
      open();
    } catch (error) {
      if (mine === asked && !wasStopped(error)) page.say((error as Error).message, "error");
    } finally {
      if (mine === asked) root.removeAttribute("aria-busy");
    }
  }

  function nowOf(named: Doubt, image: HTMLImageElement, answer: Answer): Now {
    const made = answer.maps[0]!;
    const known = page.start.methods.find((one) => one.name === page.store.view.method);
    const slow = known ? !known.quick : answer.seconds > 1;
    return { doubt: named, image, answer, made, field: Field.of(made, answer.place), slow };
  }

  function draw({ image, answer, made, field }: Now): void {
    view.set(image, field, lookOf(page), `The map for ${made.target}`);
    fill(about, h("b", {}, made.target), ` · ${made.method} · ${made.layer} · ${made.model}`);
    fill(guesses, bars(answer.predictions, made.index, (index) => page.store.set({ target: String(index) }, true)));
    const { score } = page.store.view;
    fill(
      unclear,
      made.index === null && "This map is about no single class. Choose one above: only a class can be doubted here.",
      score !== "logit" && "Doubted is the map of the class's logit.",
    );
    root.dataset.drawn = `${answer.picture} ${made.method} ${made.target}`;
  }

  /** Bring the part of the view to the front. */
  function open(): void {
    const part = partOf(page.store.view);
    if (shown !== part) shown?.hide();
    shown = part;
    parts.forEach((one, i) => {
      one.element.hidden = one !== part;
      buttons[i]!.setAttribute("aria-pressed", String(one === part));
    });
    if (now) part.show(now);
  }

  function controls(): void {
    const given = page.store.view;
    method.show(given.method);
    const layers = modelOf(page).layers;
    layer.options(
      layers.map((one) => ({ value: one.name, text: `${one.label} · ${one.grid?.join(" × ") ?? ""}` })),
      given.layer || layers[layers.length - 1]!.name,
    );
    layer.select.disabled = !isLayered(page, given.method);
  }

  page.store.listen((given, changed) => {
    if (given.tab !== "doubt") return;
    if (["picture", "model", "method", "layer", "target"].some((key) => changed.has(key))) {
      controls();
      void update();
    } else if (changed.has("more") && partOf(given) !== shown) open();
    else if (["opacity", "colormap", "threshold", "contour", "blend"].some((key) => changed.has(key))) {
      view.paint(lookOf(page));
      shown?.paint();
    }
  });
  current = {
    show() {
      controls();
      open();
      void chooser.load();
      void update();
    },
    hide() {
      shown?.hide();
      shown = now = null; // by the time it comes back the view may be another
      asked++;
    },
  };
}

