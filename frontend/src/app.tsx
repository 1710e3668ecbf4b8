// The shell: the header, one tab at a time, and messages.

import { effect, useSignal } from "@preact/signals";
import { type ComponentType } from "preact";
import { useEffect, useLayoutEffect } from "preact/hooks";
import { ErrorMessage } from "./shared/error_message";
import { DropAnywhere } from "./shared/image_picker";
import { useRequest } from "./shared/use_request";
import { message, say } from "./state/app";
import { setView, view } from "./state/view";
import { Explain } from "./tabs/explain/explain";

interface Tab {
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

function LoadedTab({ tab }: { tab: Tab }) {
  const request = useRequest(loaded.has(tab.name) ? null : tab.name, async () => loaded.set(tab.name, await tab.load()));
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
  const selected = view.tab.value;
  // After the frame: before it, the layout of the page would be computed twice.
  useEffect(() => {
    document.getElementById(`tab-${selected}`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [selected]);
  const keydown = (event: KeyboardEvent): void => {
    const at = TABS.findIndex((tab) => tab.name === selected);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const { name } = TABS.at(to % TABS.length)!;
    setView({ tab: name }, true);
    document.getElementById(`tab-${name}`)!.focus();
  };
  return (
    <>
      <nav class="tabs" role="tablist" aria-label="Views" onKeyDown={keydown}>
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
export const Panels = () => (
  <>
    {TABS.map((tab) => {
      const { name } = tab;
      const displayed = name === view.tab.value;
      return (
        <section key={name} id={`panel-${name}`} class={`panel ${name}`} role="tabpanel" aria-labelledby={`tab-${name}`} hidden={!displayed}>
          {displayed && <LoadedTab tab={tab} />}
        </section>
      );
    })}
    <DropAnywhere />
  </>
);

export function Message() {
  const now = message.value;
  useEffect(() => {
    document.getElementById("said")!.className = now?.kind ?? "";
  }, [now]);
  return now && (
    <>
      <span>{now.text}</span>
      <button aria-label="Close" onClick={() => say("")}>×</button>
    </>
  );
}

const THEMES = [["auto", "◐"], ["light", "☀"], ["dark", "☾"]] as const;

function ThemeButton() {
  const at = useSignal(Math.max(0, THEMES.findIndex(([name]) => name === localStorage.getItem("theme"))));
  const [theme, sign] = THEMES[at.value]!;
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
      onClick={() => (at.value = (at.value + 1) % THEMES.length)}
    >
      {sign}
    </button>
  );
}
