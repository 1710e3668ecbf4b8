// Selecting an image: one's own, or random samples by seed and filter. All tabs display the same images.

import { useRef, useState } from "preact/hooks";
import { imageUrl } from "../api/images";
import type { ImageInfo } from "../api/types";
import { percent } from "../numbers";
import { app, opened, say } from "../state/app";
import { selectImage, setView, view } from "../state/view";
import { openCamera } from "./camera";
import { NumberField, Select, TextField } from "./controls";
import { debounce } from "./debounce";
import { ProgressBar } from "./progress_bar";
import { useRovingFocus } from "./roving_focus";
import {
  filter,
  forgetUpload,
  samples,
  search,
  searchNote,
  setFilter,
  stopSearch,
  uploadAll,
  uploadImage,
  uploads,
} from "./sample_store";

export function ImagePicker() {
  return (
    <div class="chooser">
      <DropZone />
      <div class="row samples">
        <button onClick={() => setView({ seed: Math.floor(Math.random() * 1e6) }, true)}>Shuffle</button>
        <TextField
          label="Seed"
          class="inline"
          number={{ min: 0, max: 2 ** 31 - 1, step: 1 }}
          value={String(view.seed.value)}
          change={(seed) => seed && setView({ seed: Number(seed) }, true)}
        />
        <Filters />
      </div>
      <div class="note" role="status">
        {search.value ? (
          <ProgressBar what={`${search.value.done} evaluated`} progress={search.value} stop={stopSearch} />
        ) : (
          searchNote.value
        )}
      </div>
      <Strip />
    </div>
  );
}

/** Where one's own image goes; the whole page accepts a drop as well. */
function DropZone() {
  const input = useRef<HTMLInputElement>(null);
  return (
    <div class="drop-zone">
      <p>Drop an image here, paste one, or</p>
      <div class="row">
        <button class="main" onClick={() => input.current!.click()}>
          Open image …
        </button>
        <button onClick={() => void openCamera((photo) => void uploadImage(photo))}>Camera</button>
      </div>
      <input
        ref={input}
        class="hidden"
        type="file"
        accept="image/*"
        multiple
        aria-label="Your own image"
        onChange={(event) => {
          void uploadAll([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}

function Filters() {
  const { classes } = app.start.data;
  const now = filter.value;
  const any = Object.values(now).some(Boolean);
  const [open, setOpen] = useState(any);
  const between = useRef(
    debounce(350, (name: "low" | "high", input: HTMLInputElement) => {
      if (input.checkValidity()) setFilter({ [name]: input.value });
      else say("The confidence must be between 0 and 100 %.", "error");
    }),
  ).current;
  const confidence = (name: "low" | "high", label: string, placeholder: string) => (
    <NumberField label={label} min={0} max={100} placeholder={placeholder} value={now[name]} change={(input) => between(name, input)} />
  );
  return (
    <details class="filters" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Filter</summary>
      {open && classes.length > 0 && (
        <>
          <Select
            label="Class"
            value={now.label}
            options={[{ value: "", text: "any" }, ...classes.map((name) => ({ value: name, text: name }))]}
            change={(label) => setFilter({ label })}
          />
          <Select
            label="Prediction"
            value={now.prediction}
            options={[
              { value: "", text: "correct or wrong" },
              { value: "correct", text: "correct" },
              { value: "wrong", text: "wrong" },
            ]}
            change={(prediction) => setFilter({ prediction })}
          />
        </>
      )}
      <div class="row between">
        {confidence("low", "Confidence from %", "0")}
        {confidence("high", "to %", "100")}
      </div>
      {any && (
        <button class="quiet" onClick={() => setFilter({ label: "", prediction: "", low: "", high: "" })}>
          Clear filter
        </button>
      )}
    </details>
  );
}

/** The image follows where the arrow keys go. */
const follow = debounce(120, (id: string) => selectImage(id, false));

function Strip() {
  const box = useRovingFocus<HTMLDivElement>(".tile", (tile) => tile.ariaDisabled !== "true" && follow(tile.dataset.id!));
  const listed = [...uploads.value, ...samples.value];
  const selected = view.image.value;
  // An image from a link stays in the strip until there are other samples: nothing moves under the pointer.
  const other = useRef<{ id: string; among: readonly ImageInfo[] }>({ id: "", among: [] });
  if (other.current.among !== samples.value) other.current = { id: "", among: samples.value };
  const isOther = selected && !search.value && samples.value.length > 0 && !listed.some((image) => image.id === selected);
  if (isOther) other.current.id = selected;
  const { id } = other.current;
  const extra = id && !listed.some((image) => image.id === id) ? [{ id, name: "this image", width: 0, height: 0 }] : [];
  const all = [...uploads.value, ...extra, ...samples.value];
  return (
    <div class="strip" role="listbox" aria-label="Images" ref={box}>
      {(all as ImageInfo[]).map((image) => (
        <Tile key={image.id} image={image} selected={image.id === selected} />
      ))}
    </div>
  );
}

function Tile({ image, selected }: { image: ImageInfo; selected: boolean }) {
  const guess = image.predicted ? `${image.predicted} ${percent(image.confidence ?? 0)}` : "";
  const sign = image.correct === true ? "✓ " : image.correct === false ? "✗ " : "";
  const judged = image.correct === false ? `predicted as ${guess}` : guess && `predicted ${guess}`;
  const words = image.error ?? [image.label, judged, image.name].filter(Boolean).join(", ");
  const isUpload = image.id.startsWith("u");
  return (
    <button
      class={`tile ${image.correct === false ? "wrong" : ""}`}
      role="option"
      data-id={image.id}
      title={words}
      aria-label={words}
      aria-selected={selected}
      aria-disabled={image.error ? "true" : undefined}
      onClick={() => (image.error ? say(image.error, "error") : selectImage(image.id))}
    >
      {image.error ? (
        <span class="broken">✕</span>
      ) : (
        <img src={opened.value ? imageUrl(image.id, 160) : undefined} alt="" loading="lazy" onError={() => isUpload && !selected && forgetUpload(image.id)} />
      )}
      <span>{image.error ? "broken" : (image.label ?? image.name)}</span>
      {guess && <span class="guessed">{sign + guess}</span>}
    </button>
  );
}
