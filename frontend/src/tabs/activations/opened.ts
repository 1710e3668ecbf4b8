// One channel, large: where it fires, what its numbers say, which pictures excite it most.

import { fill, fresh, h } from "../../dom";
import { type Grid, unpack } from "../../maps/packed";
import { short, sized } from "../../numbers";
import { lookOf, type Page } from "../../page";
import { HeatView, linked } from "../../parts/heat";
import { Turns } from "../../turns";
import { aboutOf, channels } from "./asking";
import { ChannelField, channelLook } from "./paint";
import type { Sheet } from "./sheet";
import { mostOf } from "./summary";
import { TopPictures } from "./top";
import type { Channel, Channels } from "./wire";
import { sentences } from "./words";

export class Opened {
  readonly element: HTMLDialogElement;
  /** Another channel, or none, is asked for. */
  onchoose: (channel: number | null) => void = () => {};
  private readonly heading = h("h2", { id: fresh("channel") });
  private readonly over: HeatView;
  private readonly heat: HeatView;
  private readonly words = h("div", { class: "words" });
  private readonly before = h("button", { "aria-label": "Previous channel", onclick: () => this.step(-1) }, "‹");
  private readonly after = h("button", { "aria-label": "Next channel", onclick: () => this.step(1) }, "›");
  private readonly top: TopPictures;
  private readonly said = document.getElementById("said")!;
  private readonly turns = new Turns();
  private channel: number | null = null;

  constructor(
    private readonly page: Page,
    private readonly sheet: Sheet,
  ) {
    this.over = new HeatView("overlay", page.painter);
    this.heat = new HeatView("heat", page.painter);
    linked([this.over, this.heat]);
    this.top = new TopPictures(page);
    const close = h("button", { class: "quiet", "aria-label": "Close", onclick: () => this.onchoose(null) }, "×");
    this.element = h(
      "dialog",
      { class: "opened", "aria-labelledby": this.heading.id },
      h("header", {}, this.heading, h("div", { class: "row" }, this.before, this.after, close)),
      h("div", { class: "two" }, this.over.element, this.heat.element),
      this.words,
      this.top.element,
    );
    this.element.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.onchoose(null);
    });
    this.element.addEventListener("click", (event) => event.target === this.element && this.onchoose(null));
    this.element.addEventListener("keydown", (event) => this.walk(event));
  }

  /** Show a channel of what the sheet shows, on its scale; null closes. */
  async show(channel: number | null): Promise<void> {
    this.turns.end();
    if (channel === null) {
      this.hide();
      return;
    }
    const { answer } = this.sheet;
    if (!answer) return; // it will come with the sheet
    const moved = this.channel !== channel;
    this.channel = channel;
    const tile = this.sheet.tile(channel);
    if (tile) this.draw(answer, tile.channel, tile.map);
    else if (!(await this.fetched(channel))) return;
    if (!this.element.open) {
      this.element.showModal();
      this.element.append(this.said); // what is behind the dialog is neither seen nor reached
    }
    if (moved) this.element.scrollTop = 0;
  }

  /** Close without forgetting which channel it was. */
  hide(): void {
    this.turns.end();
    this.top.stop();
    const tile = this.channel === null ? undefined : this.sheet.tile(this.channel);
    this.channel = null;
    delete this.element.dataset.drawn;
    if (!this.element.open) return;
    document.body.append(this.said);
    this.element.close();
    tile?.element.focus({ preventScroll: false });
  }

  /** More channels are on the sheet to go on to. */
  reach(): void {
    if (this.channel === null) return;
    this.before.disabled = !this.sheet.tile(this.channel, -1);
    this.after.disabled = !this.sheet.tile(this.channel, 1);
  }

  /** A channel that is not on the sheet yet. */
  private async fetched(channel: number): Promise<boolean> {
    const signal = this.turns.begin();
    try {
      const answer = await channels(aboutOf(this.page), "channel", channel, 1, signal);
      if (signal.aborted) return false;
      const [one, map] = [answer.channels[0], unpack(answer.maps)[0]];
      if (!one || !map) {
        this.page.say(`${answer.layer} has no channel ${channel}: the channels are 0 to ${answer.total - 1}.`, "error");
        this.onchoose(null);
        return false;
      }
      this.draw(answer, one, map);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      this.page.failed(error);
      this.onchoose(null);
      return false;
    }
  }

  private draw(answer: Channels, one: Channel, map: Grid): void {
    const image = this.sheet.photo!;
    const signed = answer.min_activation < 0;
    const common = this.page.store.own("activations").get("scale") === "one";
    const most = mostOf(answer);
    const field = new ChannelField(map, answer.geometry, signed, common ? most : 0);
    const look = channelLook(lookOf(this.page), signed);
    const highest = signed ? map.values.reduce((top, value) => Math.max(top, Math.abs(value)), 0) : one.strength;
    const full = common ? `one scale for the layer, up to ${short(most)}` : `scale up to ${short(highest)}`;
    fill(this.heading, `Channel ${one.channel} of ${answer.layer}`, h("small", {}, ` on ${answer.name}`));
    this.over.set(image, field, look, signed ? "blue is negative; hover for values" : "activation map; hover for values");
    this.heat.set(image, field, look, `${sized([answer.maps.height, answer.maps.width])}, ${full}`);
    fill(this.words, ...sentences(one, answer).map((text) => h("p", {}, text)));
    this.reach();
    this.element.dataset.drawn = `${answer.image} ${answer.layer} ${one.channel}`;
    const { model, layer } = aboutOf(this.page);
    this.top.show(model, layer, one.channel);
  }

  private step(by: number): void {
    const next = this.channel === null ? undefined : this.sheet.tile(this.channel, by);
    if (next) this.onchoose(next.channel.channel);
  }

  private walk(event: KeyboardEvent): void {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined || event.target instanceof HTMLSelectElement || event.altKey) return;
    event.preventDefault();
    this.step(by);
  }
}
