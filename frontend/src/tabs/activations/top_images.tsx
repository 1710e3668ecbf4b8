// The images of the data set that activate a channel most.

import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { loadImage } from "../../api/images";
import { stream } from "../../api/stream";
import type { Schemas } from "../../api/types";
import { unpack } from "../../maps/packed";
import { chance, short } from "../../numbers";
import { Pending } from "../../shared/pending";
import { ProgressBar } from "../../shared/progress_bar";
import { useRequest } from "../../shared/use_request";
import { app } from "../../state/app";
import { mapStyle, selectImage, tabValue } from "../../state/view";
import { ChannelField, channelLook, drawChannel, type Style } from "./channel_sheet";
import { setValues } from "./channels";

type Found = Schemas["TopImagesOut"];
/** null: it cannot be read. */
type Photo = HTMLImageElement | null;

const COUNTS = [50, 200, 500, 1000, 2000];
const USUAL = 200;
const SIDE_PX = 200;

export function TopImages({ model, layer, channel }: { model: string; layer: string | null; channel: number }) {
  const id = useId();
  const n = Number(tabValue("activations.top")) || 0;
  const body = { model, layer, channel, n_images: n, seed: Number(tabValue("activations.seed")) || 0 };
  const request = useRequest(n > 0 ? JSON.stringify(body) : null, async (signal, listener) => {
    const found = await stream<Found>("/api/channels/top", body, listener, signal);
    const photos: Photo[] = await Promise.all(found.images.map((one) => loadImage(one.id, 320).catch(() => null)));
    return { found, photos };
  });
  const { busy, error, progress } = request;
  const data = n > 0 && !error ? request.data : null;
  const stop = (): void => {
    request.stop();
    setValues({ top: null });
  };
  return (
    <section class="top" aria-labelledby={id} data-drawn={data && !busy ? `${data.found.layer} ${data.found.channel}` : undefined}>
      <h3 id={id}>Images with the highest activation</h3>
      <SearchControls chosen={n} />
      <div class="task">
        {busy && <ProgressBar what="Searching the images" progress={progress} stop={stop} />}
        {n > 0 && <Pending requests={[request]} />}
      </div>
      <div class="result" aria-busy={busy || undefined}>{data && <TopTiles {...data} />}</div>
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
  const change = (value: string): void => {
    setN(Number(value));
    if (chosen) setValues({ top: value });
  };
  return (
    <div class="row">
      {!chosen && <button class="main" onClick={() => setValues({ top: String(n) })}>Search</button>}
      <select aria-label="Number of images to search" value={String(n)} onChange={(event) => change(event.currentTarget.value)}>
        {counts
          .sort((a, b) => a - b)
          .map((one) => <option key={one} value={one}>{one >= count ? `all ${count} images` : `${one} of ${count} images`}</option>)}
      </select>
      {chosen > 0 && chosen < count && (
        <button onClick={() => setValues({ seed: String(Math.floor(Math.random() * 1e6)) })}>Resample</button>
      )}
      {!chosen && <span class="soft">The first search of a layer is slow; its other channels are then available at once.</span>}
    </div>
  );
}

function TopTiles({ found, photos }: { found: Found; photos: readonly Photo[] }) {
  const maps = found.images.map((one) => unpack(one.map)[0]!);
  const values = maps.flatMap((map) => [...map.values]);
  const signed = values.some((value) => value < 0);
  const top = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const style: Style = { look: channelLook(mapStyle.value, signed), over: true, faint: false, top };
  return (
    <>
      <p class="soft">{foundText(found, top)}</p>
      <div class="found">
        {found.images.map((image, i) => (
          <TopTile
            key={image.id}
            image={image}
            photo={photos[i]!}
            field={new ChannelField(maps[i]!, image.geometry, signed, top)}
            style={style}
            of={found}
          />
        ))}
      </div>
    </>
  );
}

interface TileProps {
  image: Schemas["TopImage"];
  photo: Photo;
  field: ChannelField;
  style: Style;
  of: Found;
}

function TopTile({ image, photo, field, style, of }: TileProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    if (photo) drawChannel(canvas.current!, photo, field, style, SIDE_PX);
  }, [of]);
  const { id, name, label } = image;
  const strength = short(image.strength);
  const predicted = `${image.predicted.name} ${chance(image.predicted)}`;
  const wrong = label !== null && label !== image.predicted.name ? `label ${label}` : "";
  return (
    <button
      class={`excited ${photo ? "" : "unread"}`}
      data-id={id}
      title={name}
      aria-label={`${name}: highest activation ${strength}, predicted ${predicted}${wrong && `, ${wrong}`}. Explain it`}
      onClick={() => selectImage(id)}
    >
      <span class="frame"><canvas ref={canvas} width={1} height={1} aria-hidden="true" /></span>
      <span class="number">{strength}</span>
      <span class="soft">{predicted}</span>
      {wrong && <span class="soft wrong">{wrong}</span>}
    </button>
  );
}

function foundText({ images, failed, n_images, count }: Found, top: number): string {
  if (!images.length) return `None of ${failed} images could be read.`;
  const which = n_images + failed >= count ? `all ${n_images} images` : `${n_images} of ${count} images, selected at random`;
  const left = failed ? ` ${failed} could not be read and ${failed > 1 ? "are" : "is"} skipped.` : "";
  if (top <= 0) return `The channel is zero on ${which}.${left}`;
  return `The ${images.length} images with the highest activation among ${which}. One scale for all images, up to ${short(top)}.${left}`;
}
