// Activations: a layer's channels on a picture, first those that count most; one of them large, with its top pictures.

import { fill, h, settled } from "../dom";
import { lookOf, modelOf, type Mounted, type Page, type Tab } from "../page";
import { bars } from "../parts/bars";
import { layerChoice, modelChoice, opacitySlider } from "../parts/choices";
import { Chooser } from "../parts/chooser";
import { choice, slider } from "../parts/controls";
import { segments } from "../parts/segments";
import { aboutOf, ORDERS } from "./activations/asking";
import { Opened } from "./activations/opened";
import { channelLook, type Style } from "./activations/paint";
import { Sheet } from "./activations/sheet";
import { mostOf, summary } from "./activations/summary";
import type { Channels, Order } from "./activations/wire";

export const activations: Tab = { name: "activations", title: "Activations", mount };

function mount(root: HTMLElement, page: Page): Mounted {
  const own = page.store.own("activations");
  const chooser = new Chooser(page);
  const sheet = new Sheet(page);
  const opened = new Opened(page, sheet);
  const told = h("div", { class: "summary" });
  const guesses = h("div");
  const layer = layerChoice(page, true);
  const wanted = settled(120, (name: string) => page.store.set({ layer: name }, true));
  const scrub = slider(
    "From edges to objects",
    { min: 0, max: 1, step: 1 },
    (at) => wanted(modelOf(page).layers[at]!.name),
    (at) => modelOf(page).layers[at]?.label ?? "",
  );
  const order = choice("Order by", (value) => own.set({ order: value === "contribution" ? null : value }));
  const over = segments("Show", [["", "Overlay"], ["map", "Map only"]], (show) => own.set({ show }), true);
  const scale = segments("Scale", [["", "Per channel"], ["one", "Shared"]], (value) => own.set({ scale: value }), true);
  const opacity = opacitySlider(page);
  scrub.element.classList.add("scrub");
  fill(
    root,
    h("aside", { class: "pictures", "aria-label": "Images" }, chooser.element),
    h("div", { class: "middle" }, told, sheet.element),
    h(
      "aside",
      { class: "controls", "aria-label": "Settings" },
      guesses,
      modelChoice(page),
      layer.element,
      scrub.element,
      order.element,
      over.element,
      scale.element,
      opacity.element,
      h("button", { class: "across", onclick: () => page.store.set({ tab: "explain" }, true) }, "Explain at this layer"),
    ),
    opened.element,
  );

  const orderOf = (): Order => ORDERS.find((one) => one.value === own.get("order"))?.value ?? "contribution";
  const openChannel = (): number | null => (/^\d+$/.test(own.get("channel")) ? Number(own.get("channel")) : null);
  const common = (): boolean => own.get("scale") === "one";

  function styleOf(answer: Channels): Style {
    const look = channelLook(lookOf(page), answer.min_activation < 0);
    return { look, over: own.get("show") !== "map", faint: true, top: common() ? mostOf(answer) : 0 };
  }

  let loaded = "";

  async function update(): Promise<void> {
    if (!page.store.view.image) return;
    const about = aboutOf(page);
    const key = JSON.stringify([about, orderOf()]);
    if (key !== loaded) {
      loaded = key;
      const came = await sheet.load(about, orderOf(), styleOf);
      if (loaded !== key) return;
      if (!came) {
        loaded = "";
        if (!sheet.answer) fill(told);
        return;
      }
    }
    void opened.show(openChannel());
  }

  sheet.onopen = (channel) => own.set({ channel: String(channel) });
  opened.onchoose = (channel) => own.set({ channel: channel === null ? null : String(channel) });
  sheet.onload = (anew) => {
    const { predictions, index } = sheet.answer!;
    if (anew) fill(guesses, bars(predictions, index, (one) => page.store.set({ target: String(one) }, true)));
    tell();
    opened.reach();
  };
  sheet.ondrawn = () => {
    const { image: picture, layer: label, target, order: by } = sheet.answer!;
    root.dataset.drawn = `${picture} ${label} ${target} ${by} ${sheet.tiles.length}`;
  };

  function tell(): void {
    const { answer, tiles } = sheet;
    if (answer) fill(told, ...summary(answer, tiles.map((tile) => tile.channel), common()));
  }

  function repaint(): void {
    if (sheet.answer) sheet.paint(styleOf(sheet.answer));
    tell();
  }

  function controls(): void {
    const { view } = page.store;
    const { layers } = modelOf(page);
    const last = layers.length - 1;
    const at = view.layer ? layers.findIndex((one) => one.name === view.layer) : last;
    layer.show();
    scrub.input.max = String(last);
    scrub.input.disabled = last === 0;
    scrub.set(at < 0 ? last : at);
    order.options(ORDERS, orderOf());
    over.set(own.get("show"));
    scale.set(own.get("scale"));
    opacity.input.disabled = own.get("show") === "map";
  }

  page.store.listen((view, changed) => {
    if (view.tab !== "activations" || changed.has("tab")) return;
    controls();
    if (changed.has("opacity") || changed.has("colormap") || changed.has("blend") || changed.has("more")) repaint();
    void update();
  });
  return {
    show() {
      controls();
      repaint();
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
