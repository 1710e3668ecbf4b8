// What the sheet shows, and how much of the evidence that is.

import { h } from "../../dom";
import { percent, short, signed, sized } from "../../numbers";
import type { Channel, Channels } from "./wire";
import { shareOf, Unit } from "./words";

export function summary(answer: Channels, shown: readonly Channel[], common: boolean): HTMLElement[] {
  const share = shareOf(shown, answer);
  const title = `${answer.total} channels of ${answer.layer}, ${sized([answer.maps.height, answer.maps.width])}, for ${answer.target}`;
  return [
    h("h2", {}, title),
    evidence(answer, share),
    h("p", {}, held(answer, shown.length, share)),
    h("p", { class: "soft" }, scale(answer, common), unit(answer)),
  ];
}

function evidence(answer: Channels, share: number): HTMLElement {
  const parts = [-answer.negative, share * answer.positive, (1 - share) * answer.positive];
  const bar = ["against", "held", "rest"].map((kind, i) => {
    const piece = h("span", { class: kind });
    piece.style.flexGrow = String(parts[i]! / (answer.positive - answer.negative || 1));
    return piece;
  });
  return h(
    "div",
    { class: "evidence" },
    h("span", {}, `negative ${signed(answer.negative)}`),
    h("span", { class: "whole", "aria-hidden": "true" }, ...bar),
    h("span", {}, `positive ${signed(answer.positive)}`),
  );
}

function held(answer: Channels, count: number, share: number): string {
  if (answer.positive <= 0) return `No channel contributes positive evidence for ${answer.target}.`;
  const all = count === answer.total;
  return (
    `${all ? "All" : "These"} ${count} channels provide ${percent(all ? 1 : share)} of the positive evidence; ` +
    `${answer.half === 1 ? "one channel contributes" : `the ${answer.half} largest contribute`} half of it.`
  );
}

function scale(answer: Channels, common: boolean): string {
  const highest = answer.min_activation < 0 ? "largest absolute value" : "highest activation";
  return common
    ? `One scale for all channels, up to ${short(mostOf(answer))}, the ${highest} of the layer. `
    : `Each channel has its own scale, up to its ${highest}. `;
}

function unit(answer: Channels): string {
  const { words } = new Unit(answer.largest);
  const told = words && ` The unit on the tiles is ${words}.`;
  return `The contribution of a channel is its mean gradient × its mean activation; the sum over all channels is the mean of Grad-CAM's map.${told}`;
}

/** The full colour on one scale for the whole layer. */
export const mostOf = (answer: Channels): number => Math.max(answer.max_activation, -answer.min_activation);
