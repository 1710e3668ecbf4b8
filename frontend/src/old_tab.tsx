// Tabs that are not moved yet, inside the new shell.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Mounted, Page, Tab } from "./page";
import { app, say, sayError } from "./state/app";
import { Store } from "./view";

let page: Page | null = null;
const mounted = new Map<string, { root: HTMLElement; tab: Mounted }>();

export function oldTab(tab: Tab) {
  return function OldTab() {
    const host = useRef<HTMLDivElement>(null);
    useLayoutEffect(() => {
      const panel = host.current!.parentElement!;
      page ??= { start: app.start, store: new Store(), painter: app.painter, say: (text, kind) => say(text, kind === "error" ? "error" : "info"), failed: sayError };
      let one = mounted.get(tab.name);
      if (!one) {
        const root = document.createElement("div");
        root.className = `old ${tab.name}`;
        one = { root, tab: tab.mount(root, page) };
        mounted.set(tab.name, one);
      }
      panel.append(one.root);
      one.tab.show();
      return () => {
        one.tab.hide();
        one.root.remove();
      };
    }, []);
    return <div ref={host} hidden />;
  };
}
