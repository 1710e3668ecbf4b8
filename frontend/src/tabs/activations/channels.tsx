// The channels of a layer, 24 at a time, and their numbers as text.

import { useRef, useState } from "preact/hooks";
import { post } from "../../api/http";
import { loadImage } from "../../api/images";
import type { Schemas } from "../../api/types";
import { type Grid, unpack } from "../../maps/packed";
import { percent, short, signed, sized } from "../../numbers";
import { useRequest } from "../../shared/use_request";
import { setTabValues, tabValue, view } from "../../state/view";

export type Channels = Schemas["Channels"];
export type Channel = Schemas["Channel"];
export type Order = Channels["order"];

export const ORDERS: { value: Order; text: string }[] = [
  { value: "contribution", text: "Contribution" },
  { value: "gradient", text: "Mean gradient (Grad-CAM's weight)" },
  { value: "activation", text: "Mean activation" },
  { value: "channel", text: "Channel index" },
];

/** Whose channels: the same for every slice and every order of them. */
export const subjectOfView = () => ({
  image: view.image.value,
  model: view.model.value,
  layer: view.layer.value || null,
  target: view.target.value || null,
  score: view.score.value,
});
export type Subject = ReturnType<typeof subjectOfView>;

/** Change values of this tab in the address; null or "" removes one. */
export const setValues = (values: Record<string, string | null>): void =>
  setTabValues(Object.fromEntries(Object.entries(values).map(([name, value]) => [`activations.${name}`, value])));

export const isSharedScale = (): boolean => tabValue("activations.scale") === "one";
/** The full colour on one scale for the whole layer. */
export const layerMaximum = (answer: Channels): number => Math.max(answer.max_activation, -answer.min_activation);

/** Channels that are requested at once. */
export const SLICE = 24;

export interface Tile {
  channel: Channel;
  map: Grid;
}

export interface Sheet {
  key: string;
  image: HTMLImageElement;
  /** What a slice says of the whole layer. */
  answer: Channels;
  tiles: readonly Tile[];
}

/** A slice of the channels, in an order. */
export async function fetchChannels(subject: Subject, order: Order, offset: number, count: number, signal: AbortSignal) {
  const answer = await post<Channels>("/api/channels", { ...subject, order, offset, count }, signal);
  const maps = unpack(answer.maps);
  return { answer, tiles: answer.channels.map((channel, i): Tile => ({ channel, map: maps[i]! })) };
}

export function useChannels(subject: Subject, order: Order) {
  const key = JSON.stringify([subject, order]);
  const [asked, setAsked] = useState({ key, slices: 1 });
  const slices = asked.key === key ? asked.slices : 1;
  const last = useRef<Sheet | null>(null);
  const request = useRequest<Sheet>(subject.image ? `${slices} ${key}` : null, async (signal) => {
    const before = slices > 1 && last.current?.key === key ? last.current : null;
    const offset = before?.tiles.length ?? 0;
    const [image, { answer, tiles }] = await Promise.all([loadImage(subject.image), fetchChannels(subject, order, offset, SLICE, signal)]);
    return (last.current = before ? { ...before, tiles: [...before.tiles, ...tiles] } : { key, image, answer, tiles });
  });
  const sheet = request.error && slices === 1 ? null : request.data;
  /** Fetch the next slice, unless it is on its way or all are there. */
  const grow = (): void => {
    if (sheet?.key === key && !request.busy && sheet.tiles.length < sheet.answer.total) setAsked({ key, slices: slices + 1 });
  };
  return { request, sheet, grow, isFirst: slices === 1 };
}

/** The contribution of a channel as a fraction of the positive or of the negative evidence, with its sign. */
export function fractionOf({ contribution }: Channel, { positive, negative }: Channels): number {
  if (contribution > 0) return contribution / positive;
  return contribution < 0 ? -contribution / negative : 0;
}

/** "+12 %", "−0.4 %". */
export const signedPercent = (fraction: number): string =>
  `${fraction > 0 ? "+" : fraction < 0 ? "−" : ""}${percent(Math.abs(fraction))}`;

const FIRST = ["", "", "second ", "third ", "fourth ", "fifth ", "sixth ", "seventh ", "eighth ", "ninth ", "tenth "];
const ENDINGS: Record<string, string> = { one: "st", two: "nd", few: "rd", other: "th" };
const ordinals = new Intl.PluralRules("en", { type: "ordinal" });

/** "the largest", "the third largest", "the 23rd largest". */
export const ranked = (rank: number, most: string): string => `the ${FIRST[rank] ?? `${rank}${ENDINGS[ordinals.select(rank)]} `}${most}`;

export function Summary({ sheet: { answer, tiles } }: { sheet: Sheet }) {
  const { positive, negative, total, target, layer, maps } = answer;
  const contributed = tiles.reduce((sum, { channel }) => sum + Math.max(0, channel.contribution), 0);
  /** The fraction of the positive evidence that the displayed channels hold. */
  const held = positive > 0 ? Math.min(1, contributed / positive) : 0;
  const all = tiles.length === total;
  const half = answer.half === 1 ? "one channel contributes" : `the ${answer.half} largest contribute`;
  const highest = answer.min_activation < 0 ? "largest absolute value" : "highest activation";
  const part = (kind: string, amount: number) => <span class={kind} style={{ flexGrow: String(amount / (positive - negative || 1)) }} />;
  return (
    <div class="summary">
      <h2>{`${total} channels of ${layer}, ${sized([maps.height, maps.width])}, for ${target}`}</h2>
      <div class="evidence">
        <span>negative {signed(negative)}</span>
        <span class="whole" aria-hidden="true">
          {part("against", -negative)}
          {part("held", held * positive)}
          {part("rest", (1 - held) * positive)}
        </span>
        <span>positive {signed(positive)}</span>
      </div>
      <p>
        {positive > 0
          ? `${all ? "All" : "These"} ${tiles.length} channels provide ${percent(all ? 1 : held)} of the positive evidence; ${half} half of it.`
          : `No channel contributes positive evidence for ${target}.`}
      </p>
      <p class="soft">
        {isSharedScale()
          ? `One scale for all channels, up to ${short(layerMaximum(answer))}, the ${highest} of the layer. `
          : `Each channel has its own scale, up to its ${highest}. `}
        The contribution of a channel is its mean gradient × its mean activation; the sum over all channels is the mean of Grad-CAM's
        map. It is given in % of the positive evidence, or, below zero, of the negative evidence.
      </p>
    </div>
  );
}

/** A percentage that stays on one line. */
const part = (share: number): string =>
  share > 0 && share < 0.0005 ? "less than 0.1\u00a0%" : percent(share).replace(" ", "\u00a0");

/** The contribution to the target, the effect of a higher activation, the activation: one sentence each. */
export function sentences({ ranks, contribution, gradient, mean, strength }: Channel, all: Channels): string[] {
  const { total, target, positive, negative } = all;
  const sum = `its mean gradient × its mean activation, ${signed(contribution)}, is`;
  return [
    contribution > 0
      ? `Positive evidence for ${target}: ${sum} ${ranked(ranks.contribution, "largest")} of ${total}, ` +
        `${part(contribution / positive)} of the positive evidence.`
      : contribution < 0
        ? `Negative evidence for ${target}: ${sum} ${ranked(total - ranks.contribution + 1, "lowest")} of ${total}, ` +
          `${part(contribution / negative)} of the negative evidence.`
        : `No contribution to ${target} on this image: its mean gradient × its mean activation is 0.`,
    gradient !== 0 &&
      `A higher activation would ${gradient > 0 ? "raise" : "lower"} the score: its mean gradient, ${signed(gradient)}, is ` +
        `${ranked(ranks.gradient, "largest")}.`,
    strength === 0 && mean === 0
      ? "The channel is zero on this image."
      : `Its mean activation, ${short(mean)}, is ${ranked(ranks.activation, "largest")}; its maximum is ${short(strength)}.`,
  ].filter((text) => text !== false);
}
