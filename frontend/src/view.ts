// The store of tabs that are not moved yet: a view of state/view.ts.

import { effect } from "@preact/signals";
import { currentView, setTabValues, setView, type View, view } from "./state/view";

export type { View };
const PAINTING: readonly string[] = ["opacity", "colormap", "threshold", "contour", "blend"];
export const repaints = (changed: ReadonlySet<string>): boolean => PAINTING.some((key) => changed.has(key));

export class Own {
  constructor(
    private readonly store: Store,
    private readonly tab: string,
  ) {}

  get(name: string): string {
    return this.store.view.more[`${this.tab}.${name}`] ?? "";
  }

  set(values: Record<string, string | null>, kept = false, rest: Partial<View> = {}): void {
    setTabValues(Object.fromEntries(Object.entries(values).map(([name, value]) => [`${this.tab}.${name}`, value])), kept, rest);
  }
}

export class Store {
  get view(): View {
    return currentView();
  }

  set(patch: Partial<View>, kept = false): void {
    setView(patch, kept);
  }

  own(tab: string): Own {
    return new Own(this, tab);
  }

  listen(run: (view: View, changed: ReadonlySet<string>) => void): () => void {
    let before: View | null = null;
    return effect(() => {
      for (const one of Object.values(view)) void one.value;
      const now = currentView();
      const old = before;
      before = now;
      if (!old) return;
      const changed = new Set((Object.keys(now) as (keyof View)[]).filter((key) => JSON.stringify(now[key]) !== JSON.stringify(old[key])));
      if (changed.size) queueMicrotask(() => run(now, changed));
    });
  }
}
