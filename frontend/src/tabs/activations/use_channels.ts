// The channels of a layer, 24 at a time.

import { useEffect, useRef, useState } from "preact/hooks";
import { loadImage } from "../../api/images";
import { type Grid, unpack } from "../../maps/packed";
import { useRequest } from "../../shared/use_request";
import { type Channel, type Channels, fetchChannels, type Order, type Subject } from "./schemas";

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

const tilesOf = (answer: Channels): Tile[] => {
  const maps = unpack(answer.maps);
  return answer.channels.map((channel, i) => ({ channel, map: maps[i]! }));
};

export function useChannels(subject: Subject, order: Order) {
  const key = JSON.stringify([subject, order]);
  const first = useRequest<Sheet>(subject.image ? key : null, async (signal) => {
    const [image, answer] = await Promise.all([loadImage(subject.image), fetchChannels(subject, order, 0, SLICE, signal)]);
    return { key, image, answer, tiles: tilesOf(answer) };
  });
  const [more, setMore] = useState<{ key: string; tiles: readonly Tile[] }>({ key: "", tiles: [] });
  const [state, setState] = useState<{ busy: boolean; error: Error | null }>({ busy: false, error: null });
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), [first.data]);
  const sheet = first.data && more.key === first.data.key ? { ...first.data, tiles: [...first.data.tiles, ...more.tiles] } : first.data;
  /** Fetch the next slice, unless it is on its way or all are there. */
  const grow = async (): Promise<void> => {
    if (!sheet || state.busy || sheet.tiles.length >= sheet.answer.total || sheet.key !== key) return;
    const controller = (running.current = new AbortController());
    setState({ busy: true, error: null });
    try {
      const tiles = tilesOf(await fetchChannels(subject, order, sheet.tiles.length, SLICE, controller.signal));
      const before = sheet.tiles.slice(first.data!.tiles.length);
      if (!controller.signal.aborted) setMore({ key: sheet.key, tiles: [...before, ...tiles] });
      setState({ busy: false, error: null });
    } catch (error) {
      setState({ busy: false, error: controller.signal.aborted ? null : (error as Error) });
    }
  };
  return { first, sheet: first.error ? null : sheet, grow, more: state };
}
