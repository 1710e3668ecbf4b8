// Selecting an image: one's own, or random samples by seed and filter. All tabs display the same images.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
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
import { filter, forgetUpload, samples, search, searchNote, setFilter, stopSearch, uploadAll, uploadImage, uploads } from "./sample_store";

export function ImagePicker() {
  const input = useRef<HTMLInputElement>(null);
  return (
    <div class="chooser">
      <div class="drop-zone">
        <p>Drop an image here, paste one, or</p>
        <div class="row">
          <button class="main" onClick={() => input.current!.click()}>Open image …</button>
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
            void uploadAll(event.currentTarget.files ?? []);
            event.currentTarget.value = "";
          }}
        />
      </div>
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
        {search.value
          ? <ProgressBar what={`${search.value.done} evaluated`} progress={search.value} stop={stopSearch} />
          : searchNote.value}
      </div>
      <Strip />
    </div>
  );
}

function Filters() {
  const { classes } = app.start.data;
  const now = filter.value;
  const any = Object.values(now).some(Boolean);
  const open = useSignal(any);
  const between = useMemo(
    () =>
      debounce(350, (name: "low" | "high", input: HTMLInputElement) => {
        if (input.checkValidity()) setFilter({ [name]: input.value });
        else say("The confidence must be between 0 and 100 %.", "error");
      }),
    [],
  );
  const confidence = (name: "low" | "high", label: string, placeholder: string) => (
    <NumberField label={label} min={0} max={100} placeholder={placeholder} value={now[name]} change={(input) => between(name, input)} />
  );
  const select = (name: "label" | "prediction", label: string, any: string, values: readonly string[]) => (
    <Select
      label={label}
      value={now[name]}
      options={[{ value: "", text: any }, ...values.map((value) => ({ value, text: value }))]}
      change={(value) => setFilter({ [name]: value })}
    />
  );
  return (
    <details class="filters" open={open.value} onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>Filter</summary>
      {open.value && classes.length > 0 && select("label", "Class", "any", classes)}
      {open.value && classes.length > 0 && select("prediction", "Prediction", "correct or wrong", ["correct", "wrong"])}
      <div class="row between">
        {confidence("low", "Confidence from %", "0")}
        {confidence("high", "to %", "100")}
      </div>
      {any && <button class="quiet" onClick={() => setFilter()}>Clear filter</button>}
    </details>
  );
}

const follow = debounce(120, (id: string) => selectImage(id, false));

function Strip() {
  const box = useRovingFocus<HTMLDivElement>(".tile", (tile) => tile.ariaDisabled !== "true" && follow(tile.dataset.id!));
  const isListed = (id: string): boolean => [...uploads.value, ...samples.value].some((image) => image.id === id);
  const selected = view.image.value;
  // An image from a link stays in the strip until there are other samples: nothing moves under the pointer.
  const other = useRef<{ id: string; among: readonly ImageInfo[] }>({ id: "", among: [] });
  if (other.current.among !== samples.value) other.current = { id: "", among: samples.value };
  if (selected && !search.value && samples.value.length > 0 && !isListed(selected)) other.current.id = selected;
  const { id } = other.current;
  const extra = id && !isListed(id) ? [{ id, name: "this image" } as ImageInfo] : [];
  return (
    <div class="strip" role="listbox" aria-label="Images" ref={box}>
      {[...uploads.value, ...extra, ...samples.value].map((image) => (
        <Tile key={image.id} image={image} selected={image.id === selected} />
      ))}
    </div>
  );
}

function Tile({ image, selected }: { image: ImageInfo; selected: boolean }) {
  const { id, name, label, predicted, confidence, correct, error } = image;
  const wrong = correct === false;
  const guess = predicted ? `${predicted} ${percent(confidence ?? 0)}` : "";
  const judged = wrong ? `predicted as ${guess}` : guess && `predicted ${guess}`;
  const words = error ?? [label, judged, name].filter(Boolean).join(", ");
  return (
    <button
      class={`tile ${wrong ? "wrong" : ""}`}
      role="option"
      data-id={id}
      title={words}
      aria-label={words}
      aria-selected={selected}
      aria-disabled={error ? "true" : undefined}
      onClick={() => (error ? say(error, "error") : selectImage(id))}
    >
      {error ? <span class="broken">✕</span> : (
        <img
          src={opened.value ? imageUrl(id, 160) : undefined}
          alt=""
          loading="lazy"
          onError={() => id.startsWith("u") && !selected && forgetUpload(id)}
        />
      )}
      <span>{error ? "broken" : (label ?? name)}</span>
      {guess && <span class="guessed">{(wrong ? "✗ " : correct ? "✓ " : "") + guess}</span>}
    </button>
  );
}

/** Files that are dropped or pasted anywhere on the page. */
export function DropAnywhere() {
  const inside = useSignal(false);
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    const take = (event: Event, files: FileList | undefined): void => {
      if (!files?.length) return;
      event.preventDefault();
      void uploadAll(files);
    };
    window.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      inside.value = true;
    });
    window.addEventListener("dragleave", (event) => !event.relatedTarget && (inside.value = false)); // it has left the window
    window.addEventListener("drop", (event) => {
      inside.value = false;
      take(event, event.dataTransfer?.files);
    });
    window.addEventListener("paste", (event) => take(event, event.clipboardData?.files));
  }, []);
  return <div class="dropping" hidden={!inside.value}><p>Drop the image anywhere</p></div>;
}
