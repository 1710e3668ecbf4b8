// One channel, large: where it is active, what its numbers mean, which images activate it most.

import { useSignal } from "@preact/signals";
import { useEffect, useId, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { unpack } from "../../maps/packed";
import { short, sized } from "../../numbers";
import { type Mark, MapView } from "../../shared/map_view";
import { useRequest } from "../../shared/use_request";
import { say, sayError } from "../../state/app";
import { mapStyle } from "../../state/view";
import { isSharedScale } from "./activations";
import { ChannelField, channelLook } from "./channel_drawing";
import { sentences } from "./channel_text";
import { fetchChannels, type Subject } from "./schemas";
import { layerMaximum } from "./summary";
import { TopImages } from "./top_images";
import type { Sheet, Tile } from "./use_channels";

interface Props {
  sheet: Sheet;
  subject: Subject;
  channel: number;
  /** Another channel, or null to close. */
  select: (channel: number | null) => void;
  grow: () => Promise<void>;
}

export function ChannelDialog({ sheet, subject, channel, select, grow }: Props) {
  const { tiles } = sheet;
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const at = tiles.findIndex((tile) => tile.channel.channel === channel);
  const listed = at < 0 ? null : tiles[at]!;
  // A channel of a link, which is not on the sheet yet.
  const fetched = useRequest<Tile | null>(listed ? null : JSON.stringify([subject, channel]), async (signal) => {
    const answer = await fetchChannels(subject, "channel", channel, 1, signal);
    const [one, map] = [answer.channels[0], unpack(answer.maps)[0]];
    if (one && map) return { channel: one, map };
    say(`${answer.layer} has no channel ${channel}: the channels are 0 to ${answer.total - 1}.`, "error");
    select(null);
    return null;
  });
  useEffect(() => {
    if (fetched.error) sayError(fetched.error);
  }, [fetched.error]);
  const tile = listed ?? (fetched.data?.channel.channel === channel ? fetched.data : null);
  const current = useRef(channel);
  current.current = channel;
  const open = tile !== null;
  useLayoutEffect(() => {
    if (!open) return;
    const element = dialog.current!;
    element.showModal();
    const said = document.getElementById("said")!;
    element.append(said); // what is behind the dialog is neither seen nor reached
    return () => {
      document.body.append(said);
      element.close();
      document.querySelector<HTMLElement>(`.channel[data-channel="${current.current}"]`)?.focus();
    };
  }, [open]);
  useLayoutEffect(() => dialog.current?.scrollTo(0, 0), [channel]);
  useEffect(() => {
    if (at >= 0 && at >= tiles.length - 4) void grow();
  }, [at, tiles.length]);
  if (!tile) return null;
  const { answer } = sheet;
  /** In the order of the sheet; from a channel that is not on it, by index. */
  const neighbour = (by: number): number | undefined => {
    if (at >= 0) return tiles[at + by]?.channel.channel;
    return channel + by >= 0 && channel + by < answer.total ? channel + by : undefined;
  };
  const step = (by: number): void => {
    const next = neighbour(by);
    if (next !== undefined) select(next);
  };
  const keydown = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined || event.target instanceof HTMLSelectElement || event.altKey) return;
    event.preventDefault();
    step(by);
  };
  return (
    <dialog
      ref={dialog}
      class="opened"
      aria-labelledby={id}
      data-drawn={`${answer.image} ${answer.layer} ${channel}`}
      onCancel={(event) => {
        event.preventDefault();
        select(null);
      }}
      onClick={(event) => event.target === dialog.current && select(null)}
      onKeyDown={keydown}
    >
      <header>
        <h2 id={id}>
          {`Channel ${channel} of ${answer.layer}`}
          <small> on {answer.name}</small>
        </h2>
        <div class="row">
          <button aria-label="Previous channel" disabled={neighbour(-1) === undefined} onClick={() => step(-1)}>
            ‹
          </button>
          <button aria-label="Next channel" disabled={neighbour(1) === undefined} onClick={() => step(1)}>
            ›
          </button>
          <button class="quiet" aria-label="Close" onClick={() => select(null)}>
            ×
          </button>
        </div>
      </header>
      <Views sheet={sheet} tile={tile} />
      <div class="words">
        {sentences(tile.channel, answer).map((text) => (
          <p key={text}>{text}</p>
        ))}
      </div>
      <TopImages model={subject.model} layer={subject.layer} channel={channel} />
    </dialog>
  );
}

function Views({ sheet, tile }: { sheet: Sheet; tile: Tile }) {
  const { answer, image } = sheet;
  const { map, channel } = tile;
  const mark = useSignal<Mark | null>(null);
  const signed = answer.min_activation < 0;
  const shared = isSharedScale();
  const most = layerMaximum(answer);
  const field = useMemo(() => new ChannelField(map, answer.geometry, signed, shared ? most : 0), [map, shared]);
  const highest = signed ? map.values.reduce((top, value) => Math.max(top, Math.abs(value)), 0) : channel.strength;
  const full = shared ? `one scale for the layer, up to ${short(most)}` : `scale up to ${short(highest)}`;
  const overlay = signed ? "blue is negative; hover for values" : "activation map; hover for values";
  const size = sized([answer.maps.height, answer.maps.width]);
  const common = { image, field, mark, colormap: channelLook(mapStyle.value, signed).colormap };
  return (
    <div class="two">
      <MapView kind="overlay" {...common} label={overlay} caption={overlay} />
      <MapView kind="heat" {...common} label={`${size}, ${full}`} caption={`${size}, ${full}`} />
    </div>
  );
}
