// Activations: a layer's channels on a picture, first those that count most; one of them large, with its top pictures.

import { fill, fresh, h, settled } from "../dom";
import { percent, short } from "../maps";
import { lookOf, modelOf, type Page, type Tab } from "../page";
import { bars } from "../parts/bars";
import { aboutOf, type Channels, ORDERS, type Order } from "../parts/channels/asking";
import { Opened } from "../parts/channels/opened";
import { channelLook, type Style } from "../parts/channels/paint";
import { Sheet } from "../parts/channels/sheet";
import { shareOf, signed, Unit } from "../parts/channels/words";
import { Chooser } from "../parts/chooser";
import { choice, modelChoice, slider } from "../parts/controls";

export const activations: Tab = {
  name: "activations",
  title: "Activations",
  mount,
  show: () => current?.show(),
  hide: () => current?.hide(),
};
let current: { show(): void; hide(): void } | null = null;

function mount(root: HTMLElement, page: Page): void {
  const own = (name: string): string => page.store.view.more[`activations.${name}`] ?? "";
  const setOwn = (name: string, value: string | null): void => page.store.setMore(`activations.${name}`, value);

  const chooser = new Chooser(page);
  const sheet = new Sheet(page);
  const opened = new Opened(page, sheet);
  const summary = h("div", { class: "summary" });
  const guesses = h("div");
  const layer = choice("Layer", (name) => page.store.set({ layer: name }, true));
  const wanted = settled(120, (name: string) => page.store.set({ layer: name }, true));
  const scrub = slider(
    "From edges to objects",
    { min: 0, max: 1, step: 1 },
    (at) => wanted(modelOf(page).layers[at]!.name),
    (at) => modelOf(page).layers[at]?.label ?? "",
  );
  const order = choice("Order by", (value) => setOwn("order", value === "contribution" ? null : value));
  const over = segments("Show", [["", "On the picture"], ["map", "Map alone"]], (value) => setOwn("show", value));
  const scale = segments("Scale", [["", "Its own"], ["one", "One for all"]], (value) => setOwn("scale", value));
  const opacity = slider("Opacity", { min: 0, max: 1, step: 0.01 }, (value) => page.store.set({ opacity: value }));
  scrub.element.classList.add("scrub");
  fill(
    root,
    h("aside", { class: "pick" }, chooser.element),
    h("div", { class: "middle" }, summary, sheet.element),
    h(
      "aside",
      { class: "controls" },
      guesses,
      modelChoice(page),
      layer.element,
      scrub.element,
      order.element,
      over.element,
      scale.element,
      opacity.element,
      h("button", { class: "across", onclick: () => page.store.set({ tab: "look" }, true) }, "This layer in Look"),
    ),
    opened.element,
  );

  const orderOf = (): Order => ORDERS.find((one) => one.value === own("order"))?.value ?? "contribution";

  function styleOf(answer: Channels): Style {
    const below = answer.least < 0;
    const top = own("scale") === "one" ? Math.max(answer.most, -answer.least) : 0;
    return { look: channelLook(lookOf(page), below), over: own("show") !== "map", faint: true, top };
  }

  let loaded = "";

  async function update(): Promise<void> {
    if (!page.store.view.picture) return;
    const about = aboutOf(page);
    const key = JSON.stringify([about, orderOf()]);
    if (key === loaded) {
      void opened.show(openChannel());
      return;
    }
    loaded = key;
    const came = await sheet.load(about, orderOf(), styleOf);
    if (loaded !== key) return;
    if (came) {
      void opened.show(openChannel());
      return;
    }
    loaded = "";
    if (!sheet.answer) fill(summary);
  }

  const openChannel = (): number | null => (/^\d+$/.test(own("channel")) ? Number(own("channel")) : null);

  sheet.onopen = (channel) => setOwn("channel", String(channel));
  opened.onchoose = (channel) => setOwn("channel", channel === null ? null : String(channel));
  sheet.onload = (anew) => {
    const { predictions, index } = sheet.answer!;
    if (anew) fill(guesses, bars(predictions, index, (one) => page.store.set({ target: String(one) }, true)));
    tell();
    opened.reach();
  };
  sheet.ondrawn = () => {
    const { picture, layer: label, target, order: by } = sheet.answer!;
    root.dataset.drawn = `${picture} ${label} ${target} ${by} ${sheet.tiles.length}`;
  };

  /** What the sheet shows, and how much of the evidence that is. */
  function tell(): void {
    const { answer } = sheet;
    if (!answer) return;
    const count = sheet.tiles.length;
    const share = shareOf(
      sheet.tiles.map((tile) => tile.channel),
      answer,
    );
    const unit = new Unit(answer.largest);
    const parts = [-answer.negative, share * answer.positive, (1 - share) * answer.positive];
    const bar = ["against", "held", "rest"].map((kind, i) => {
      const piece = h("span", { class: kind });
      piece.style.flexGrow = String(parts[i]! / (answer.positive - answer.negative || 1));
      return piece;
    });
    const top = Math.max(answer.most, -answer.least);
    fill(
      summary,
      h("h2", {}, `${answer.total} channels of ${answer.layer}, ${answer.maps.height} × ${answer.maps.width}, for ${answer.target}`),
      h(
        "div",
        { class: "evidence" },
        h("span", {}, `against ${signed(answer.negative)}`),
        h("span", { class: "whole", "aria-hidden": "true" }, ...bar),
        h("span", {}, `for ${signed(answer.positive)}`),
      ),
      h(
        "p",
        {},
        answer.positive > 0
          ? `${count === answer.total ? "All" : "These"} ${count} channels make up ${percent(share)} of the positive evidence; ` +
              `${answer.half === 1 ? "one channel holds" : `the ${answer.half} strongest hold`} half of it.`
          : `No channel speaks for ${answer.target} here.`,
      ),
      h(
        "p",
        { class: "soft" },
        own("scale") === "one"
          ? `One scale for all: the full colour is ${short(top)}, the ${answer.least < 0 ? "largest value, whatever its sign," : "highest activation"} of the layer. `
          : `Each channel has its own scale: its ${answer.least < 0 ? "largest value, whatever its sign," : "highest activation"} gets the full colour. `,
        "A channel contributes its mean gradient × its mean activation; all of them add up to the mean of Grad-CAM's map.",
        unit.words && ` The tiles tell it in ${unit.words}.`,
      ),
    );
  }

  function controls(): void {
    const { view } = page.store;
    const { layers } = modelOf(page);
    const last = layers.length - 1;
    const at = view.layer ? layers.findIndex((one) => one.name === view.layer) : last;
    const list = layers.map((one) => ({ value: one.name, text: `${one.label} · ${one.grid?.join(" × ") ?? ""}` }));
    if (at < 0) list.unshift({ value: view.layer, text: view.layer });
    layer.options(list, at < 0 ? view.layer : layers[at]!.name);
    scrub.input.max = String(last);
    scrub.input.disabled = last === 0;
    scrub.set(at < 0 ? last : at);
    order.options(ORDERS, orderOf());
    over.set(own("show"));
    scale.set(own("scale"));
    opacity.set(view.opacity);
    opacity.input.disabled = own("show") === "map";
  }

  page.store.listen((view, changed) => {
    if (view.tab !== "activations" || changed.has("tab")) return;
    controls();
    if (changed.has("opacity") || changed.has("colormap") || changed.has("blend") || changed.has("more")) {
      if (sheet.answer) sheet.paint(styleOf(sheet.answer));
      tell();
    }
    void update();
  });
  current = {
    show() {
      controls();
      if (sheet.answer) sheet.paint(styleOf(sheet.answer));
      tell();
      void chooser.load();
      void update();
    },
    hide() {
      if (sheet.waiting) loaded = "";
      sheet.stop();
      opened.hide();
    },
  };
}

interface Segments {
  element: HTMLElement;
  set(value: string): void;
}

/** A few choices side by side, one of them taken. */
function segments(label: string, list: [value: string, text: string][], choose: (value: string) => void): Segments {
  const id = fresh("segments");
  const buttons = list.map(([value, text]) => h("button", { onclick: () => choose(value) }, text));
  return {
    element: h(
      "div",
      { class: "field", role: "group", "aria-labelledby": id },
      h("span", { class: "soft", id }, label),
      h("div", { class: "segments" }, ...buttons),
    ),
    set(value) {
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(list[i]![0] === value)));
    },
  };
}
