// One channel, large: where it is active, what its numbers mean, which images activate it most.

import { useSignal } from "@preact/signals";
import { useEffect, useId, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { short, sized } from "../../numbers";
import { MapView, type Mark } from "../../shared/map_view";
import { useRequest } from "../../shared/use_request";
import { say, sayError } from "../../state/app";
import { mapStyle } from "../../state/view";
import { ChannelField, channelLook } from "./channel_sheet";
import { fetchChannels, isSharedScale, layerMaximum, sentences, setValues, type Sheet, type Subject, type Tile } from "./channels";
import { TopImages } from "./top_images";

interface Props {
  sheet: Sheet;
  subject: Subject;
  channel: number;
  grow: () => void;
}

/** Another channel, or null to close. */
const select = (channel: number | null): void => setValues({ channel: channel === null ? null : String(channel) });

export function ChannelDialog({ sheet, subject, channel, grow }: Props) {
  const { answer, tiles } = sheet;
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const at = tiles.findIndex((tile) => tile.channel.channel === channel);
  // A channel of a link, which is not on the sheet yet.
  const fetched = useRequest<Tile | null>(at < 0 ? JSON.stringify([subject, channel]) : null, async (signal) => {
    const { answer: one, tiles: found } = await fetchChannels(subject, "channel", channel, 1, signal);
    if (found[0]) return found[0];
    say(`${one.layer} has no channel ${channel}: the channels are 0 to ${one.total - 1}.`, "error");
    select(null);
    return null;
  });
  useEffect(() => {
    if (fetched.error) sayError(fetched.error);
  }, [fetched.error]);
  const tile = tiles[at] ?? (fetched.data?.channel.channel === channel ? fetched.data : null);
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
    if (at >= 0 && at >= tiles.length - 4) grow();
  }, [at, tiles.length]);
  if (!tile) return null;
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
  const cancel = (event: Event): void => {
    event.preventDefault();
    select(null);
  };
  return (
    <dialog
      ref={dialog}
      class="opened"
      aria-labelledby={id}
      data-drawn={`${answer.image} ${answer.layer} ${channel}`}
      onCancel={cancel}
      onClick={(event) => event.target === dialog.current && select(null)}
      onKeyDown={keydown}
    >
      <header>
        <h2 id={id}>
          {`Channel ${channel} of ${answer.layer}`}
          <small>{` on ${answer.name}`}</small>
        </h2>
        <div class="row">
          <button aria-label="Previous channel" disabled={neighbour(-1) === undefined} onClick={() => step(-1)}>‹</button>
          <button aria-label="Next channel" disabled={neighbour(1) === undefined} onClick={() => step(1)}>›</button>
          <button class="quiet" aria-label="Close" onClick={() => select(null)}>×</button>
        </div>
      </header>
      <Views sheet={sheet} tile={tile} />
      <div class="words">{sentences(tile.channel, answer).map((text) => <p key={text}>{text}</p>)}</div>
      <TopImages model={subject.model} layer={subject.layer} channel={channel} />
    </dialog>
  );
}

function Views({ sheet: { answer, image }, tile: { map, channel } }: { sheet: Sheet; tile: Tile }) {
  const mark = useSignal<Mark | null>(null);
  const signed = answer.min_activation < 0;
  const shared = isSharedScale();
  const most = layerMaximum(answer);
  const field = useMemo(() => new ChannelField(map, answer.geometry, signed, shared ? most : 0), [map, shared]);
  const highest = signed ? map.values.reduce((top, value) => Math.max(top, Math.abs(value)), 0) : channel.strength;
  const full = shared ? `one scale for the layer, up to ${short(most)}` : `scale up to ${short(highest)}`;
  const overlay = signed ? "blue is negative; hover for values" : "activation map; hover for values";
  const heat = `${sized([answer.maps.height, answer.maps.width])}, ${full}`;
  const common = { image, field, mark, colormap: channelLook(mapStyle.value, signed).colormap };
  return (
    <div class="two">
      <MapView kind="overlay" {...common} label={overlay} caption={overlay} />
      <MapView kind="heat" {...common} label={heat} caption={heat} />
    </div>
  );
}
