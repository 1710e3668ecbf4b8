// What the sheet displays, and how much of the evidence that is.

import { percent, short, signed, sized } from "../../numbers";
import { positiveFraction } from "./channel_text";
import type { Channels } from "./schemas";
import type { Sheet } from "./use_channels";

/** The full colour on one scale for the whole layer. */
export const layerMaximum = (answer: Channels): number => Math.max(answer.max_activation, -answer.min_activation);

export function Summary({ sheet, shared }: { sheet: Sheet; shared: boolean }) {
  const { answer, tiles } = sheet;
  const held = positiveFraction(tiles.map((tile) => tile.channel), answer);
  const size = sized([answer.maps.height, answer.maps.width]);
  const highest = answer.min_activation < 0 ? "largest absolute value" : "highest activation";
  return (
    <div class="summary">
      <h2>{`${answer.total} channels of ${answer.layer}, ${size}, for ${answer.target}`}</h2>
      <Evidence answer={answer} held={held} />
      <p>{heldText(answer, tiles.length, held)}</p>
      <p class="soft">
        {shared
          ? `One scale for all channels, up to ${short(layerMaximum(answer))}, the ${highest} of the layer. `
          : `Each channel has its own scale, up to its ${highest}. `}
        The contribution of a channel is its mean gradient × its mean activation; the sum over all channels is the mean of Grad-CAM's
        map. It is given in % of the positive evidence, or, below zero, of the negative evidence.
      </p>
    </div>
  );
}

function Evidence({ answer, held }: { answer: Channels; held: number }) {
  const { positive, negative } = answer;
  const all = positive - negative || 1;
  const part = (kind: string, amount: number) => <span class={kind} style={{ flexGrow: String(amount / all) }} />;
  return (
    <div class="evidence">
      <span>negative {signed(negative)}</span>
      <span class="whole" aria-hidden="true">
        {part("against", -negative)}
        {part("held", held * positive)}
        {part("rest", (1 - held) * positive)}
      </span>
      <span>positive {signed(positive)}</span>
    </div>
  );
}

function heldText(answer: Channels, count: number, held: number): string {
  if (answer.positive <= 0) return `No channel contributes positive evidence for ${answer.target}.`;
  const all = count === answer.total;
  const half = answer.half === 1 ? "one channel contributes" : `the ${answer.half} largest contribute`;
  return `${all ? "All" : "These"} ${count} channels provide ${percent(all ? 1 : held)} of the positive evidence; ${half} half of it.`;
}
