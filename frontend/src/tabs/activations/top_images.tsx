// The images of the data set that activate a channel most.

import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { loadImage } from "../../api/images";
import { stream } from "../../api/stream";
import { unpack } from "../../maps/packed";
import { chance, short } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { ProgressBar } from "../../shared/progress_bar";
import { useRequest } from "../../shared/use_request";
import { app } from "../../state/app";
import { mapStyle, selectImage, setTabValues, tabValue } from "../../state/view";
import { ChannelField, channelLook, drawChannel, type Style } from "./channel_drawing";
import type { TopImage, TopImagesOut } from "./schemas";

const COUNTS = [50, 200, 500, 1000, 2000];
const USUAL = 200;
const SIDE_PX = 200;

const set = (values: Record<string, string | null>): void =>
  setTabValues(Object.fromEntries(Object.entries(values).map(([name, value]) => [`activations.${name}`, value])));

export function TopImages({ model, layer, channel }: { model: string; layer: string | null; channel: number }) {
  const id = useId();
  const n = Number(tabValue("activations.top")) || 0;
  const body = { model, layer, channel, n_images: n, seed: Number(tabValue("activations.seed")) || 0 };
  const request = useRequest<TopImagesOut>(n > 0 ? JSON.stringify(body) : null, (signal, listener) =>
    stream<TopImagesOut>("/api/channels/top", body, listener, signal),
  );
  const { data, busy, error } = request;
  const [drawn, setDrawn] = useState("");
  const found = n > 0 && !error ? data : null;
  const stop = (): void => {
    request.stop();
    set({ top: null });
  };
  const text = found ? `${found.layer} ${found.channel}` : "";
  return (
    <section class="top" aria-labelledby={id} data-drawn={found && !busy && drawn === text ? text : undefined}>
      <h3 id={id}>Images with the highest activation</h3>
      <SearchControls chosen={n} />
      <div class="task">
        {busy && <ProgressBar what="Searching the images" progress={request.progress} stop={stop} />}
        {n > 0 && <ErrorMessage error={error} retry={request.retry} />}
      </div>
      <div class="result" aria-busy={busy || undefined}>
        {found && <Found found={found} drawn={() => setDrawn(text)} />}
      </div>
    </section>
  );
}

function SearchControls({ chosen }: { chosen: number }) {
  const { count } = app.start.data;
  const [n, setN] = useState(chosen || Math.min(USUAL, count));
  useEffect(() => {
    if (chosen) setN(chosen);
  }, [chosen]);
  const counts = [...new Set([...COUNTS.filter((one) => one < count), ...(count <= COUNTS.at(-1)! ? [count] : []), n])];
  return (
    <div class="row">
      {!chosen && (
        <button class="main" onClick={() => set({ top: String(n) })}>
          Search
        </button>
      )}
      <select
        aria-label="Number of images to search"
        value={String(n)}
        onChange={(event) => {
          setN(Number(event.currentTarget.value));
          if (chosen) set({ top: event.currentTarget.value });
        }}
      >
        {counts
          .sort((a, b) => a - b)
          .map((one) => (
            <option key={one} value={one}>
              {one >= count ? `all ${count} images` : `${one} of ${count} images`}
            </option>
          ))}
      </select>
      {chosen > 0 && chosen < count && (
        <button onClick={() => set({ seed: String(Math.floor(Math.random() * 1e6)) })}>Resample</button>
      )}
      {!chosen && <span class="soft">The first search of a layer is slow; its other channels are then available at once.</span>}
    </div>
  );
}

function Found({ found, drawn }: { found: TopImagesOut; drawn: () => void }) {
  const maps = found.images.map((one) => unpack(one.map)[0]!);
  const signed = maps.some((map) => map.values.some((value) => value < 0));
  const top = maps.reduce((most, map) => map.values.reduce((m, v) => Math.max(m, signed ? Math.abs(v) : v), most), 0);
  const style: Style = { look: channelLook(mapStyle.value, signed), over: true, faint: false, top };
  const left = useRef(0);
  useLayoutEffect(() => {
    left.current = found.images.length;
    if (!left.current) drawn();
  }, [found]);
  const done = (): void => {
    left.current -= 1;
    if (left.current === 0) drawn();
  };
  return (
    <>
      <p class="soft">{foundText(found, top, signed)}</p>
      <div class="found">
        {found.images.map((image, i) => (
          <TopTile
            key={image.id}
            image={image}
            field={new ChannelField(maps[i]!, image.geometry, signed, top)}
            style={style}
            done={done}
            of={found}
          />
        ))}
      </div>
    </>
  );
}

interface TileProps {
  image: TopImage;
  field: ChannelField;
  style: Style;
  done: () => void;
  of: TopImagesOut;
}

function TopTile({ image, field, style, done, of }: TileProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [unread, setUnread] = useState(false);
  useEffect(() => {
    let wanted = true;
    loadImage(image.id, 320)
      .then(
        (photo) => wanted && canvas.current && drawChannel(canvas.current, photo, field, style, SIDE_PX),
        () => wanted && setUnread(true),
      )
      .finally(() => wanted && done());
    return () => void (wanted = false);
  }, [of]);
  const strength = short(image.strength);
  const predicted = `${image.predicted.name} ${chance(image.predicted)}`;
  const wrong = image.label !== null && image.label !== image.predicted.name ? `label ${image.label}` : "";
  return (
    <button
      class={`excited ${unread ? "unread" : ""}`}
      data-id={image.id}
      title={image.name}
      aria-label={`${image.name}: highest activation ${strength}, predicted ${predicted}${wrong && `, ${wrong}`}. Explain it`}
      onClick={() => selectImage(image.id)}
    >
      <span class="frame">
        <canvas ref={canvas} width={1} height={1} aria-hidden="true" />
      </span>
      <span class="number">{strength}</span>
      <span class="soft">{predicted}</span>
      {wrong && <span class="soft wrong">{wrong}</span>}
    </button>
  );
}

function foundText(found: TopImagesOut, top: number, signed: boolean): string {
  if (!found.images.length) return `None of ${found.failed} images could be read.`;
  const all = found.n_images + found.failed >= found.count;
  const which = all ? `all ${found.n_images} images` : `${found.n_images} of ${found.count} images, selected at random`;
  const left = found.failed ? ` ${found.failed} could not be read and ${found.failed > 1 ? "are" : "is"} skipped.` : "";
  if (top <= 0 && !signed) return `The channel is zero on ${which}.${left}`;
  return (
    `The ${found.images.length} images with the highest activation among ${which}. ` +
    `One scale for all images, up to ${short(top)}.${left}`
  );
}
