// The pictures that excite a channel most, over the data set.

import { loadImage as picture } from "../../api/images";
import { fill, fresh, h } from "../../dom";
import { unpack } from "../../maps/packed";
import { chance, short } from "../../numbers";
import { lookOf, type Page } from "../../page";
import { Task } from "../../parts/task";
import { Own } from "../../view";
import { ChannelField, channelLook, paintTile } from "./paint";
import type { Top, TopPicture } from "./wire";

const COUNTS = [50, 200, 500, 1000, 2000];
const USUAL = 200;
const SIDE = 200;

export class TopPictures {
  readonly element: HTMLElement;
  private readonly task: Task;
  private readonly own: Own;
  private readonly result = h("div", { class: "result" });
  private readonly asking = h("div", { class: "row" });
  private readonly heading = fresh("top");
  /** What is shown, or on its way. */
  private shown = "";
  /** Which pictures are being looked through; that serves whatever channel is asked for meanwhile. */
  private scanning = "";
  private offered = "";

  constructor(private readonly page: Page) {
    this.task = new Task("Searching the images");
    this.own = page.store.own("activations");
    this.element = h(
      "section",
      { class: "top", "aria-labelledby": this.heading },
      h("h3", { id: this.heading }, "Images with the highest activation"),
      this.asking,
      this.task.element,
      this.result,
    );
  }

  /** For this channel: at once if pictures are to be looked through, else when one asks for it. */
  show(model: string, layer: string | null, channel: number): void {
    this.controls();
    const pictures = Number(this.own.get("top"));
    const seed = Number(this.own.get("seed"));
    if (!(pictures > 0)) {
      this.stop();
      this.shown = "";
      fill(this.result);
      delete this.element.dataset.drawn;
      return;
    }
    const question = { model, layer, channel, n_images: pictures, seed };
    if (this.shown === JSON.stringify(question)) return;
    this.shown = JSON.stringify(question);
    delete this.element.dataset.drawn;
    this.result.setAttribute("aria-busy", "true");
    const scan = JSON.stringify({ ...question, channel: 0 });
    if (this.scanning !== scan) void this.ask(scan);
  }

  stop(): void {
    this.task.stop();
  }

  private async ask(scan: string): Promise<void> {
    const key = this.shown;
    this.scanning = scan;
    const found = await this.task.run<Top>("/api/channels/top", JSON.parse(key));
    if (this.scanning !== scan) return; // other pictures by now
    this.scanning = "";
    if (found && this.shown && this.shown !== key) return this.ask(scan); // another channel by now: at once
    this.result.removeAttribute("aria-busy");
    if (found) await this.draw(found, key);
    else {
      this.shown = "";
      fill(this.result);
      this.own.set({ top: null });
    }
  }

  private controls(): void {
    const { count } = this.page.start.data;
    const chosen = Number(this.own.get("top"));
    const most = COUNTS[COUNTS.length - 1]!;
    const counts = COUNTS.filter((one) => one < count);
    if (count <= most) counts.push(count);
    const usual = chosen || Math.min(USUAL, count);
    if (this.offered === String(chosen)) return;
    this.offered = String(chosen);
    const focused = this.asking.contains(document.activeElement);
    if (!counts.includes(usual)) counts.push(usual);
    const select = h(
      "select",
      { "aria-label": "Number of images to search" },
      ...counts
        .sort((one, other) => one - other)
        .map((one) => h("option", { value: one }, one >= count ? `all ${count} images` : `${one} of ${count} images`)),
    );
    select.value = String(usual);
    select.addEventListener("change", () => chosen && this.own.set({ top: select.value }));
    fill(
      this.asking,
      !chosen &&
        h("button", { class: "main", onclick: () => this.own.set({ top: select.value }) }, "Search"),
      select,
      chosen > 0 &&
        chosen < count &&
        h(
          "button",
          { onclick: () => this.own.set({ seed: String(Math.floor(Math.random() * 1e6)) }) },
          "Resample",
        ),
      !chosen && h("span", { class: "soft" }, "The first search of a layer is slow; its other channels are then available at once."),
    );
    if (focused) select.focus();
  }

  private async draw(found: Top, key: string): Promise<void> {
    const maps = found.images.map((one) => unpack(one.map)[0]!);
    const signed = maps.some((map) => map.values.some((value) => value < 0));
    let top = 0;
    for (const map of maps) for (const value of map.values) top = Math.max(top, signed ? Math.abs(value) : value);
    const style = { look: channelLook(lookOf(this.page), signed), over: true, faint: false, top };
    const tiles = found.images.map((one) => this.tile(one));
    fill(
      this.result,
      h("p", { class: "soft" }, told(found, top, signed)),
      h("div", { class: "found" }, ...tiles.map((tile) => tile.element)),
    );
    await Promise.all(
      found.images.map(async (one, i) => {
        try {
          const image = await picture(one.id, 320);
          if (this.shown !== key) return;
          const field = new ChannelField(maps[i]!, one.geometry, signed, top);
          paintTile(tiles[i]!.canvas, image, field, this.page.painter, style, SIDE);
        } catch {
          tiles[i]!.element.classList.add("unread");
        }
      }),
    );
    if (this.shown === key) this.element.dataset.drawn = `${found.layer} ${found.channel}`;
  }

  private tile(one: TopPicture): { element: HTMLElement; canvas: HTMLCanvasElement } {
    const canvas = h("canvas", { width: 1, height: 1, "aria-hidden": "true" });
    const strength = short(one.strength);
    const guess = `${one.predicted.name} ${chance(one.predicted)}`;
    const wrong = one.label !== null && one.label !== one.predicted.name ? `label ${one.label}` : "";
    const element = h(
      "button",
      {
        class: "excited",
        "data-id": one.id,
        title: one.name,
        "aria-label": `${one.name}: highest activation ${strength}, predicted ${guess}${wrong && `, ${wrong}`}. Explain it`,
        onclick: () => this.page.store.set({ image: one.id }, true),
      },
      h("span", { class: "frame" }, canvas),
      h("span", { class: "number" }, strength),
      h("span", { class: "soft" }, guess),
      wrong && h("span", { class: "soft wrong" }, wrong),
    );
    return { element, canvas };
  }
}

function told(found: Top, top: number, signed: boolean): string {
  if (!found.images.length) return `None of ${found.failed} images could be read.`;
  const all = found.n_images + found.failed >= found.count;
  const drawn = all ? `all ${found.n_images} images` : `${found.n_images} of ${found.count} images, selected at random`;
  const left = found.failed ? ` ${found.failed} could not be read and ${found.failed > 1 ? "are" : "is"} skipped.` : "";
  if (top <= 0 && !signed) return `The channel is zero on ${drawn}.${left}`;
  return (
    `The ${found.images.length} images with the highest activation among ${drawn}. ` +
    `One scale for all images, up to ${short(top)}.${left}`
  );
}
