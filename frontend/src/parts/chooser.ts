// Choosing a picture: random samples by seed, or one's own.

import { get, give, type PictureInfo, pictureUrl, type Samples } from "../api";
import { fill, h } from "../dom";
import type { Page } from "../page";

const HEAVY = 25 << 20;

export class Chooser {
  readonly element: HTMLElement;
  private readonly strip = h("div", { class: "strip", role: "listbox", "aria-label": "Pictures" });
  private readonly own: PictureInfo[] = [];
  private samples: PictureInfo[] = [];
  private asked = "";

  constructor(private readonly page: Page) {
    const file = h("input", { type: "file", accept: "image/*", class: "hidden", "aria-label": "A picture of your own" });
    file.addEventListener("change", () => {
      if (file.files?.[0]) void this.give(file.files[0]);
      file.value = "";
    });
    this.element = h(
      "div",
      { class: "chooser" },
      h(
        "div",
        { class: "row" },
        h("button", { onclick: () => page.store.set({ seed: Math.floor(Math.random() * 1e6) }, true) }, "Shuffle"),
        h("button", { onclick: () => file.click() }, "Your picture …"),
        file,
      ),
      this.strip,
    );
    page.store.listen((_, changed) => {
      if (changed.has("seed")) void this.load();
      if (changed.has("picture")) this.mark();
    });
  }

  /** Ask for the samples of the view's seed, if they are not there; choose the first if nothing is chosen. */
  async load(): Promise<void> {
    const { seed } = this.page.store.view;
    const path = `/api/samples?seed=${seed}&n=20`;
    if (path === this.asked) return;
    this.asked = path;
    try {
      this.samples = (await get<Samples>(path)).items;
    } catch (error) {
      this.asked = "";
      this.page.say((error as Error).message, "error");
      return;
    }
    this.draw();
    const first = this.samples.find((one) => !one.error);
    if (!this.page.store.view.picture && first) this.page.store.set({ picture: first.id });
  }

  /** Upload it and look at it. */
  async give(file: Blob): Promise<void> {
    if (file.size > HEAVY) {
      this.page.say(`That file has ${(file.size / 1e6).toFixed(0)} MB; the limit is 25. Make it smaller.`, "error");
      return;
    }
    this.page.say("Sending …");
    try {
      const made = await give(file);
      if (!this.own.some((one) => one.id === made.id)) this.own.unshift(made);
      this.draw();
      this.page.store.set({ picture: made.id }, true);
      this.page.say("");
    } catch (error) {
      this.page.say((error as Error).message, "error");
    }
  }

  /** What is known of a picture. */
  info(id: string): PictureInfo | undefined {
    return [...this.own, ...this.samples].find((one) => one.id === id);
  }

  private draw(): void {
    fill(this.strip, ...[...this.own, ...this.samples].map((one) => this.tile(one)));
    this.mark();
  }

  private tile(one: PictureInfo): HTMLElement {
    const words = one.error ?? [one.label, one.name].filter(Boolean).join(", ");
    return h(
      "button",
      {
        class: "tile",
        role: "option",
        "data-id": one.id,
        title: words,
        disabled: Boolean(one.error),
        onclick: () => this.page.store.set({ picture: one.id }, true),
      },
      one.error
        ? h("span", { class: "broken" }, "✕")
        : h("img", { src: pictureUrl(one.id, 160), alt: words, loading: "lazy" }),
      h("span", {}, one.label ?? (one.id.startsWith("u") ? "yours" : one.name)),
    );
  }

  private mark(): void {
    for (const tile of this.strip.children)
      tile.setAttribute("aria-selected", String((tile as HTMLElement).dataset.id === this.page.store.view.picture));
  }
}
