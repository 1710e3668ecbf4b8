// What can be taken along: pictures, arrays, the record, and an address that brings the view back.

import { made } from "../../api/ask";
import { decoded, pictureUrl } from "../../api/pictures";
import type { Answer } from "../../api/types";
import { h } from "../../dom";
import { lookOf, type Page } from "../../page";
import { png, save } from "../../parts/files";
import type { HeatView } from "../../parts/heat";
import { questionOf } from "../../question";

export class Downloads {
  readonly element: HTMLElement;
  private answer: Answer | null = null;

  constructor(
    private readonly page: Page,
    private readonly overlay: HeatView,
  ) {
    const button = (text: string, title: string, click: () => void): HTMLElement =>
      h("button", { title, onclick: click }, text);
    this.element = h(
      "div",
      { class: "row downloads", role: "group", "aria-label": "Download" },
      button("Overlay", "The overlay as a PNG, at the size of the image", () => void this.keep("overlay.png")),
      button("Panel", "Image, map, overlay and the five most probable classes in one PNG", () => void this.keep("panel.png")),
      button("NPZ", "The arrays of the map: raw, map, heatmap", () => void this.keep("map.npz")),
      button("Record", "The record without pixels, as JSON", () => void this.keep("record.json")),
      button("Copy link", "A URL that restores this view", () => void this.link()),
    );
  }

  show(answer: Answer): void {
    this.answer = answer;
  }

  private async keep(what: string): Promise<void> {
    const { answer, page } = this;
    if (!answer) return;
    try {
      const content = what === "overlay.png" ? await this.drawn() : await this.asked(what);
      save(content, nameOf(answer, what));
    } catch (error) {
      page.failed(error);
    }
  }

  private asked(what: string): Promise<Blob> {
    const question = questionOf(this.page, this.page.store.view);
    if (what !== "panel.png") return made(`/api/explain/${what}`, question);
    this.page.say("Rendering …");
    const { opacity, colormap, blend, contour } = lookOf(this.page);
    const look = { opacity, blend, colormap: colormap || null, contour: contour || null };
    return made("/api/explain/panel.png", { ...question, ...look }).finally(() => this.page.say(""));
  }

  /** At the picture's own size, or as much of it as the server shows. */
  private async drawn(): Promise<Blob> {
    const image = await decoded(pictureUrl(this.answer!.image));
    return png(this.overlay.drawn(image.naturalWidth, image.naturalHeight));
  }

  private async link(): Promise<void> {
    const { page } = this;
    const given = page.store.view.picture.startsWith("u");
    const lasting = given ? " Uploaded images are kept only until the server stops." : "";
    try {
      await navigator.clipboard.writeText(location.href);
      page.say(`The link was copied to the clipboard.${lasting}`);
    } catch {
      page.say("The browser blocks the clipboard; copy the URL from the address bar.", "error");
    }
  }
}

/** The picture's name, how it was explained, and what it is: in letters that every file system has. */
export function nameOf(answer: Answer, what: string): string {
  const { method, layer, target } = answer.maps[0]!;
  const stem = answer.name.replace(/\.\w{1,5}$/, "");
  const parts = [stem, method, layer, target].map((part) => part.replace(/[^\p{L}\p{N}.]+/gu, "_").replace(/^_+|_+$/g, ""));
  return `${parts.filter(Boolean).join("-").slice(0, 140)}.${what}`;
}
