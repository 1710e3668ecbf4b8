// Choosing a picture: random samples by seed and filter, or one's own. All tabs show the same shelf.

import { pictureUrl } from "../api/pictures";
import type { PictureInfo } from "../api/types";
import { fill, h, settled } from "../dom";
import { percent } from "../numbers";
import type { Page } from "../page";
import { camera } from "./camera";
import { choice, field } from "./controls";
import { roving } from "./roving";
import { Shelf } from "./shelf";
import { progress } from "./task";

export class Chooser {
  readonly element: HTMLElement;
  private readonly shelf: Shelf;
  private readonly strip = h("div", { class: "strip", role: "listbox", "aria-label": "Images" });
  private readonly told = h("div", { class: "note", role: "status" });

  constructor(private readonly page: Page) {
    this.shelf = Shelf.of(page);
    const file = h("input", {
      type: "file",
      accept: "image/*",
      multiple: true,
      class: "hidden",
      "aria-label": "Your own image",
    });
    file.addEventListener("change", () => {
      void this.shelf.giveAll([...(file.files ?? [])]);
      file.value = "";
    });
    const shuffle = (): void => page.store.set({ seed: Math.floor(Math.random() * 1e6) }, true);
    this.element = h(
      "div",
      { class: "chooser" },
      h(
        "div",
        { class: "row" },
        h("button", { onclick: () => file.click(), title: "Or drop or paste it anywhere" }, "Open image …"),
        h("button", { onclick: () => void camera(page, (taken) => void this.give(taken)) }, "Camera"),
        file,
      ),
      h("div", { class: "row samples" }, h("button", { onclick: shuffle }, "Shuffle"), this.seedField()),
      this.filters(),
      this.told,
      this.strip,
    );
    // The picture follows where the arrows go.
    roving(this.strip, ".tile", ({ dataset, ariaDisabled }) => ariaDisabled !== "true" && this.follow(dataset.id!));
    page.store.listen((_, changed) => changed.has("picture") && this.mark());
    this.shelf.listen(() => this.draw());
    this.draw();
  }

  /** Ask for the samples of the view, if they are not there; choose the first if nothing is chosen. */
  load(): Promise<void> {
    return this.shelf.load();
  }

  /** Upload it and look at it. */
  give(file: Blob): Promise<void> {
    return this.shelf.give(file);
  }

  /** What is known of a picture. */
  info(id: string): PictureInfo | undefined {
    return this.shelf.info(id);
  }

  private seedField(): HTMLElement {
    const { store } = this.page;
    const input = h("input", { type: "number", min: 0, max: 2 ** 31, step: 1 });
    input.addEventListener("change", () => {
      if (input.checkValidity() && input.value) store.set({ seed: Number(input.value) }, true);
      else input.value = String(store.view.seed);
    });
    const show = (): void => void (input.value = String(store.view.seed));
    store.listen((_, changed) => changed.has("seed") && show());
    show();
    const made = field("Seed", input);
    made.classList.add("inline");
    return made;
  }

  private filters(): HTMLElement {
    const { store, start } = this.page;
    const set = (patch: object): void => void (this.shelf.filter = { ...this.shelf.filter, ...patch });
    const label = choice("Class", (value) => set({ label: value }));
    const said = choice("Prediction", (value) => set({ said: value }));
    const share = (): HTMLInputElement => h("input", { type: "number", min: 0, max: 100, step: 1 });
    const [low, high] = [share(), share()];
    low.placeholder = "0";
    high.placeholder = "100";
    const between = settled(350, () => {
      if (low.checkValidity() && high.checkValidity()) set({ low: low.value, high: high.value });
      else this.page.say("The confidence must be between 0 and 100 %.", "error");
    });
    low.addEventListener("input", between);
    high.addEventListener("input", between);
    const clear = h(
      "button",
      { class: "quiet", onclick: () => (this.shelf.filter = { label: "", said: "", low: "", high: "" }) },
      "Clear filter",
    );
    const element = h(
      "details",
      { class: "filters" },
      h("summary", {}, "Filter"),
      start.data.classes.length > 0 && label.element,
      start.data.classes.length > 0 && said.element,
      h("div", { class: "row between" }, field("Confidence from %", low), field("to %", high)),
      clear,
    );
    const show = (): void => {
      const filter = this.shelf.filter;
      label.options(
        [{ value: "", text: "any" }, ...start.data.classes.map((name) => ({ value: name, text: name }))],
        filter.label,
      );
      said.options(
        [
          { value: "", text: "correct or wrong" },
          { value: "correct", text: "correct" },
          { value: "wrong", text: "wrong" },
        ],
        filter.said,
      );
      for (const [input, value] of [[low, filter.low], [high, filter.high]] as const)
        if (document.activeElement !== input) input.value = value;
      clear.hidden = !Object.values(filter).some(Boolean);
      if (!clear.hidden) element.open = true;
    };
    store.listen((_, changed) => changed.has("more") && show());
    show();
    return element;
  }

  private draw(): void {
    const { search, told } = this.shelf;
    const { picture } = this.page.store.view;
    if (search) {
      const bar = progress(`${search.done} evaluated`, () => this.shelf.stop());
      bar.set(search.done, search.total);
      fill(this.told, bar.element);
    } else fill(this.told, told);
    const all = [...this.shelf.own, ...this.shelf.samples];
    const other = picture && !search && this.shelf.samples.length && !all.some((one) => one.id === picture);
    if (other) all.unshift({ id: picture, name: "this one", width: 0, height: 0 } as PictureInfo);
    const held = this.strip.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.id : null;
    fill(this.strip, ...all.map((one) => this.tile(one)));
    this.mark();
    if (held) this.tiles.find((tile) => tile.dataset.id === held)?.focus();
  }

  private tile(one: PictureInfo): HTMLElement {
    const guess = one.predicted ? `${one.predicted} ${percent(one.confidence ?? 0)}` : "";
    const sign = one.correct === true ? "✓ " : one.correct === false ? "✗ " : "";
    const judged = one.correct === false ? `predicted as ${guess}` : guess && `predicted ${guess}`;
    const words = one.error ?? [one.label, judged, one.name].filter(Boolean).join(", ");
    const yours = one.id.startsWith("u");
    return h(
      "button",
      {
        class: `tile${one.correct === false ? " wrong" : ""}`,
        role: "option",
        "data-id": one.id,
        title: words,
        "aria-label": words,
        "aria-disabled": one.error ? "true" : null,
        tabindex: -1,
        onclick: () => (one.error ? this.page.say(one.error, "error") : this.page.store.set({ picture: one.id }, true)),
      },
      one.error
        ? h("span", { class: "broken" }, "✕")
        : h("img", { src: pictureUrl(one.id, 160), alt: "", loading: "lazy" }),
      h("span", {}, one.error ? "broken" : (one.label ?? (yours ? "yours" : one.name))),
      guess && h("span", { class: "guessed" }, `${sign}${guess}`),
    );
  }

  private get tiles(): HTMLElement[] {
    return [...this.strip.children] as HTMLElement[];
  }

  private mark(): void {
    const { picture } = this.page.store.view;
    const chosen = this.tiles.find((tile) => tile.dataset.id === picture) ?? this.tiles[0];
    for (const tile of this.tiles) {
      tile.setAttribute("aria-selected", String(tile.dataset.id === picture));
      tile.tabIndex = tile === chosen ? 0 : -1;
    }
  }

  private readonly follow = settled(120, (id: string) => this.page.store.set({ picture: id }));
}
