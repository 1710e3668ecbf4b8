// The shell: asks the server what there is, draws the header, shows one tab at a time.

import "./styles/base.css";
import "./styles/parts.css";
import "./styles/look.css";
import "./styles/compare.css";
import "./styles/doubt.css";
import "./styles/activations.css";
import "./styles/dataset.css";
import "./styles/study.css";
import { get, heardAgain, wasStopped } from "./api/ask";
import type { Start } from "./api/types";
import { fill, h } from "./dom";
import { Painter } from "./maps/painter";
import type { Mounted, Page, Tab } from "./page";
import { activations } from "./tabs/activations";
import { compare } from "./tabs/compare";
import { dataset } from "./tabs/dataset";
import { doubt } from "./tabs/doubt";
import { look } from "./tabs/look";
import { study } from "./tabs/study";
import { Store } from "./view";

const TABS: Tab[] = [look, compare, doubt, activations, dataset, study];

async function begin(): Promise<void> {
  const main = document.getElementById("main")!;
  let start: Start;
  try {
    start = await get<Start>("/api/start");
  } catch (error) {
    fill(main, h("p", { class: "failure", role: "alert" }, (error as Error).message));
    return;
  }
  const store = new Store(start);
  const painter = new Painter(start.palettes, start.palette, start.nan_colour as [number, number, number]);
  const page: Page = { start, store, painter, say, failed };
  const panels = new Map<string, { root: HTMLElement; mounted: Mounted }>();
  let shown = "";

  const buttons = TABS.map((tab) =>
    h(
      "button",
      {
        role: "tab",
        id: `tab-${tab.name}`,
        "aria-controls": `panel-${tab.name}`,
        onclick: () => store.set({ tab: tab.name }, true),
      },
      tab.title,
    ),
  );
  const bar = h("nav", { class: "tabs", role: "tablist", "aria-label": "Views", onkeydown: walk }, ...buttons);
  fill(
    document.getElementById("top")!,
    h("h1", { class: "brand" }, h("img", { src: "/icon.svg", alt: "", width: 22, height: 22 }), "Camlucida"),
    bar,
    themeButton(),
  );

  function walk(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -TABS.length, End: TABS.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = TABS.findIndex((tab) => tab.name === shown);
    const next = Math.abs(step) === 1 ? (at + step + TABS.length) % TABS.length : step < 0 ? 0 : TABS.length - 1;
    store.set({ tab: TABS[next]!.name }, true);
    buttons[next]!.focus();
  }

  function show(name: string): void {
    const tab = TABS.find((one) => one.name === name);
    if (!tab) return store.set({ tab: TABS[0]!.name }); // each tab listens for its own name
    if (tab.name === shown) return;
    panels.get(shown)?.mounted.hide();
    shown = tab.name;
    TABS.forEach((one, i) => {
      buttons[i]!.setAttribute("aria-selected", String(one === tab));
      buttons[i]!.tabIndex = one === tab ? 0 : -1;
    });
    for (const { root } of panels.values()) root.hidden = true;
    let panel = panels.get(tab.name);
    if (!panel) {
      const root = h("section", {
        id: `panel-${tab.name}`,
        class: `panel ${tab.name}`,
        role: "tabpanel",
        "aria-labelledby": `tab-${tab.name}`,
      });
      main.append(root);
      panel = { root, mounted: tab.mount(root, page) };
      panels.set(tab.name, panel);
    }
    panel.root.hidden = false;
    buttons[TABS.indexOf(tab)]!.scrollIntoView({ block: "nearest", inline: "nearest" });
    document.title = `${tab.title} · Camlucida`;
    say("");
    panel.mounted.show();
  }

  store.listen((view, changed) => changed.has("tab") && show(view.tab));
  show(store.view.tab);
  heardAgain(() => say("")); // that it does not answer is true no more
  document.documentElement.dataset.ready = "yes";
}

let quiet = 0;

function failed(error: unknown): void {
  if (!wasStopped(error)) say((error as Error).message, "error");
}

function say(text: string, kind: "told" | "error" = "told"): void {
  const place = document.getElementById("said")!;
  clearTimeout(quiet);
  place.className = text ? kind : "";
  fill(place, text && h("span", {}, text), text && h("button", { "aria-label": "Close", onclick: () => say("") }, "×"));
  if (text && kind === "told") quiet = window.setTimeout(() => say(""), 6000);
}

function themeButton(): HTMLElement {
  const themes = ["auto", "light", "dark"];
  const button = h("button", { class: "theme quiet", onclick: () => choose((at() + 1) % 3) });
  const at = (): number => Math.max(0, themes.indexOf(localStorage.getItem("theme") ?? "auto"));
  function choose(which: number): void {
    const theme = themes[which]!;
    localStorage.setItem("theme", theme);
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = { auto: "◐", light: "☀", dark: "☾" }[theme] ?? "";
    button.setAttribute("aria-label", `Colours of the page: ${theme}. Change`);
    button.title = `Colours: ${theme}`;
  }
  choose(at());
  return button;
}

void begin();
