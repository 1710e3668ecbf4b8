// The shell: the header, one tab at a time, and messages.

import { effect } from "@preact/signals";
import { type ComponentType } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { DropAnywhere } from "./shared/drop_anywhere";
import { ErrorMessage } from "./shared/error_message";
import { useRequest } from "./shared/use_request";
import { message, say } from "./state/app";
import { setView, view } from "./state/view";
import { Explain } from "./tabs/explain/explain";

interface Tab {
  /** In addresses and ids. */
  name: string;
  title: string;
  /** Fetches its code; that of the first tab is there at once. */
  load: () => Promise<ComponentType>;
}

const TABS: readonly Tab[] = [
  { name: "explain", title: "Explain", load: () => Promise.resolve(Explain) },
  { name: "compare", title: "Compare", load: () => import("./tabs/compare/compare").then((tab) => tab.Compare) },
  { name: "trust", title: "Trust", load: () => import("./tabs/trust/trust").then((tab) => tab.Trust) },
  { name: "activations", title: "Activations", load: () => import("./tabs/activations/activations").then((tab) => tab.Activations) },
  { name: "dataset", title: "Data set", load: () => import("./tabs/dataset/dataset").then((tab) => tab.Dataset) },
  { name: "study", title: "Study", load: () => import("./tabs/study/study").then((tab) => tab.Study) },
];
const loaded = new Map<string, ComponentType>([["explain", Explain]]);

/** Fetch the code of the other tabs while nothing else happens. */
export function prefetchTabs(): void {
  for (const tab of TABS) tab.load().then((component) => loaded.set(tab.name, component), () => {}); // fetched again when it is opened
}

/** A tab, once its code is there. */
function LoadedTab({ tab }: { tab: Tab }) {
  const request = useRequest<ComponentType>(loaded.has(tab.name) ? null : tab.name, async () => {
    const component = await tab.load();
    loaded.set(tab.name, component);
    return component;
  });
  const Component = loaded.get(tab.name);
  return Component ? <Component /> : <ErrorMessage error={request.error} retry={request.retry} />;
}

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
  // After the frame: before it, the layout of the page would be computed twice.
  useEffect(() => {
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
        <Icon />
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

/** public/icon.svg, as part of the page: an image would be another request, and a document of its own. */
function Icon() {
  return (
    <svg viewBox="0 0 32 32" width={22} height={22} aria-hidden="true">
      <radialGradient id="icon">
        <stop offset="0" stop-color="#fdeb61" />
        <stop offset=".45" stop-color="#fb5432" />
        <stop offset="1" stop-color="#2c176f" />
      </radialGradient>
      <rect width="32" height="32" rx="7" fill="#2c176f" />
      <circle cx="17" cy="15" r="11" fill="url(#icon)" />
    </svg>
  );
}

/** A tab is there while it is displayed; what it needs again is in the address and in the caches. */
export function Panels() {
  return (
    <>
      {TABS.map((tab) => (
        <section
          key={tab.name}
          id={`panel-${tab.name}`}
          class={`panel ${tab.name}`}
          role="tabpanel"
          aria-labelledby={`tab-${tab.name}`}
          hidden={tab.name !== view.tab.value}
        >
          {tab.name === view.tab.value && <LoadedTab tab={tab} />}
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
