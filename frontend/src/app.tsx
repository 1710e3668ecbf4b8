// The shell: the header, one tab at a time, and messages.

import { effect } from "@preact/signals";
import { type ComponentType } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { DropAnywhere } from "./shared/drop_anywhere";
import { message, say } from "./state/app";
import { setView, view } from "./state/view";
import { Explain } from "./tabs/explain/explain";
import { Activations } from "./tabs/activations/activations";
import { Compare } from "./tabs/compare/compare";
import { Dataset } from "./tabs/dataset/dataset";
import { Trust } from "./tabs/trust/trust";
import { Study } from "./tabs/study/study";

interface Tab {
  /** In addresses and ids. */
  name: string;
  title: string;
  Component: ComponentType;
}

const TABS: readonly Tab[] = [
  { name: "explain", title: "Explain", Component: Explain },
  { name: "compare", title: "Compare", Component: Compare },
  { name: "trust", title: "Trust", Component: Trust },
  { name: "activations", title: "Activations", Component: Activations },
  { name: "dataset", title: "Data set", Component: Dataset },
  { name: "study", title: "Study", Component: Study },
];

/** A name that no tab has stands for the first one. */
export function followTabs(): void {
  effect(() => {
    const tab = TABS.find((one) => one.name === view.tab.value);
    if (!tab) return setView({ tab: TABS[0]!.name });
    document.title = `${tab.title} · Camlucida`;
    say("");
  });
}

export function Header() {
  const bar = useRef<HTMLElement>(null);
  const selected = view.tab.value;
  useLayoutEffect(() => {
    document.getElementById(`tab-${selected}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [selected]);
  const keydown = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -TABS.length, End: TABS.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = TABS.findIndex((tab) => tab.name === selected);
    const next = Math.abs(step) === 1 ? (at + step + TABS.length) % TABS.length : step < 0 ? 0 : TABS.length - 1;
    setView({ tab: TABS[next]!.name }, true);
    bar.current!.querySelectorAll("button")[next]!.focus();
  };
  return (
    <>
      <h1 class="brand">
        <img src="/icon.svg" alt="" width={22} height={22} />
        Camlucida
      </h1>
      <nav class="tabs" role="tablist" aria-label="Views" onKeyDown={keydown} ref={bar}>
        {TABS.map(({ name, title }) => (
          <button
            key={name}
            role="tab"
            id={`tab-${name}`}
            aria-controls={`panel-${name}`}
            aria-selected={name === selected}
            tabIndex={name === selected ? 0 : -1}
            onClick={() => setView({ tab: name }, true)}
          >
            {title}
          </button>
        ))}
      </nav>
      <ThemeButton />
    </>
  );
}

/** A tab is there while it is displayed; what it needs again is in the address and in the caches. */
export function Panels() {
  return (
    <>
      {TABS.map(({ name, Component }) => (
        <section key={name} id={`panel-${name}`} class={`panel ${name}`} role="tabpanel" aria-labelledby={`tab-${name}`} hidden={name !== view.tab.value}>
          {name === view.tab.value && <Component />}
        </section>
      ))}
      <DropAnywhere />
    </>
  );
}

export function Message() {
  const now = message.value;
  useEffect(() => {
    document.getElementById("said")!.className = now?.kind ?? "";
  }, [now]);
  if (!now) return null;
  return (
    <>
      <span>{now.text}</span>
      <button aria-label="Close" onClick={() => say("")}>
        ×
      </button>
    </>
  );
}

const THEMES = ["auto", "light", "dark"];
const SIGNS = ["◐", "☀", "☾"];

function ThemeButton() {
  const [at, setAt] = useState(() => Math.max(0, THEMES.indexOf(localStorage.getItem("theme") ?? "auto")));
  const theme = THEMES[at]!;
  useLayoutEffect(() => {
    localStorage.setItem("theme", theme);
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  return (
    <button
      class="theme quiet"
      title={`Colours: ${theme}`}
      aria-label={`Colours of the page: ${theme}. Change`}
      onClick={() => setAt((at + 1) % THEMES.length)}
    >
      {SIGNS[at]}
    </button>
  );
}
