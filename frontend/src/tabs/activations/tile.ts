// One channel on the sheet: its map, its number, what it contributes.

import { h } from "../../dom";
import type { Grid } from "../../maps/packed";
import { short, signed } from "../../numbers";
import type { Channel, Channels, Order } from "./wire";
import { ranked, type Unit } from "./words";

export interface Tile {
  channel: Channel;
  map: Grid;
  element: HTMLElement;
  canvas: HTMLCanvasElement;
  near: boolean;
  stale: boolean;
}

export function tileOf(channel: Channel, map: Grid, answer: Channels, unit: Unit, open: () => void): Tile {
  const canvas = h("canvas", { width: 1, height: 1, "aria-hidden": "true" });
  const { contribution } = channel;
  const bar = h("span", { class: contribution < 0 ? "fill against" : "fill for" });
  bar.style.width = `${50 * unit.share(contribution)}%`;
  const second = secondOf(channel, answer.order);
  const words =
    `Channel ${channel.channel}: contribution ${signed(contribution)}, ` +
    `${ranked(channel.ranks.contribution, "largest")} of ${answer.total}${second && `; ${second}`}`;
  const element = h(
    "button",
    { class: "channel", tabindex: -1, "data-channel": channel.channel, "aria-label": words, onclick: open },
    h("span", { class: "frame" }, canvas),
    h(
      "span",
      { class: "line" },
      h("span", { class: "number" }, `${channel.channel}`),
      h("span", { class: "value" }, unit.tell(contribution)),
    ),
    h("span", { class: "balance", "aria-hidden": "true" }, bar),
    second && h("span", { class: "second" }, second),
  );
  return { channel, map, element, canvas, near: false, stale: true };
}

/** What the order goes by, where that is not the contribution. */
function secondOf(channel: Channel, order: Order): string {
  if (order === "gradient") return `weight ${signed(channel.gradient)}`;
  if (order === "activation") return `mean ${short(channel.mean)}`;
  return "";
}
