// The image, the map, the map over the image, and the predicted classes of a segmentation network; directly under them what is adjusted most.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { debounce } from "../../shared/debounce";
import { CheckBox } from "../../shared/controls";
import { type Mark, MapView } from "../../shared/map_view";
import { STEP, windowOf, windowText, Zoom } from "../../shared/zoom";
import { sized } from "../../numbers";
import { setTabValues, tabValue, view } from "../../state/view";
import type { Classes } from "./class_grid";
import { ClassesView } from "./classes_view";
import { ColourScale } from "./colour_scale";
import { OpacityAndPalette } from "./display_settings";
import type { Explained } from "./explain";
import { fieldOf } from "./field_of";
import { NetworkStrip } from "./layer_choice";
import { mapCaption } from "./notes";
import { type Strength, strengthText } from "./strength";
import { REACH_PX, TargetMarks } from "./target_marks";
import { type Shape, shapeAt } from "./targets";

/** A map that is weaker than this, beside its reference, is remarked on. */
const WEAK = 0.1;
/** Width / height below which the small views stand beside each other. */
const PORTRAIT = 0.8;

/** Targets on an image of this size, in its pixels. */
export interface PlacedTargets {
  shapes: readonly Shape[];
  size: readonly [number, number];
  /** The target in question. */
  spec: string;
  isSelected: (spec: string) => boolean;
  choose: (spec: string) => void;
}

export function Result(props: {
  shown: Explained | null;
  /** The image of the view, if there is no map of it. */
  photo: HTMLImageElement | null;
  name: string;
  strength: Strength | null;
  /** Targets with a place on the image. */
  targets: PlacedTargets | null;
  /** The predicted classes, null while they are waited for; undefined for a model without them. */
  classes: Classes | null | undefined;
}) {
  const { shown, strength, targets, classes } = props;
  const mark = useSignal<Mark | null>(null);
  const zoom = useZoom(shown?.answer.image ?? view.image.value);
  const shared = tabValue("explain.scale") === "shared" && strength !== null;
  const raw = shown && fieldOf(shown.answer);
  const field = useMemo(() => (raw && shared ? raw.scaledTo(strength!.reference.top) : raw), [raw, shared, strength?.reference.top]);
  const image = shown?.image ?? props.photo;
  const caption = shown ? mapCaption(shown.answer) : "No map";
  const common = { image, field, mark, zoom };
  const size = shown ? sized([shown.answer.maps[0]!.map.height, shown.answer.maps[0]!.map.width]) : "";
  const ratio = image ? image.naturalWidth / image.naturalHeight : 1;
  const pick =
    targets && targets.shapes.length > 0
      ? (x: number, y: number, perPixel: number): void => {
          const [width, height] = targets.size;
          const spec = shapeAt(targets.shapes, targets.size, x * width, y * height, REACH_PX * perPixel * width)?.target.spec;
          if (spec && !targets.isSelected(spec)) targets.choose(spec);
        }
      : undefined;
  const below = useMemo(
    () => (
      <>
        <OpacityAndPalette />
        <ZoomButtons zoom={zoom} />
      </>
    ),
    [],
  );
  const strip = useMemo(() => <NetworkStrip />, []);
  return (
    <>
      <div class={`views ${ratio < PORTRAIT ? "portrait" : ""} ${classes === undefined ? "" : "with-classes"}`} style={{ "--ratio": String(ratio) }}>
        <MapView kind="overlay" {...common} label={caption} caption={<b>{caption}</b>} pick={pick}>
          {image && targets && targets.shapes.length > 0 && <TargetMarks {...targets} window={zoom.window.value} />}
          {!image && !view.image.value && <p class="empty">Drop an image here</p>}
        </MapView>
        <div class="beside">
          <MapView kind="photo" {...common} label={props.name} caption={props.name} />
          <div class="map-and-scale">
            <MapView kind="heat" {...common} label={field ? `Map, ${size}` : "No map"} caption={field ? `Map, ${size}` : "No map"} />
            {field && <ColourScale field={field} />}
          </div>
          {classes !== undefined && <ClassesView {...common} classes={classes} targets={targets} />}
        </div>
        <div class="adjust">
          {strength && <StrengthNote strength={strength} shared={shared} />}
          {below}
        </div>
      </div>
      {strip}
    </>
  );
}

function StrengthNote({ strength, shared }: { strength: Strength; shared: boolean }) {
  return (
    <div class={`strength ${strength.ratio < WEAK ? "weak" : ""}`} role="note">
      <p>{strengthText(strength)}</p>
      <CheckBox
        label="Same colour scale"
        title={`Full colour stands for the maximum of the map for ${strength.name}`}
        checked={shared}
        change={(checked) => setTabValues({ "explain.scale": checked ? "shared" : null })}
      />
    </div>
  );
}

/** The zoom of the views; restored from the address, and reset for another image. */
function useZoom(image: string): Zoom {
  const zoom = useMemo(() => {
    const made = new Zoom();
    made.set(windowOf(tabValue("explain.zoom")));
    return made;
  }, []);
  const previous = useRef(image);
  useEffect(() => {
    if (previous.current && image && previous.current !== image) zoom.reset();
    previous.current = image || previous.current;
  }, [image]);
  useEffect(() => {
    const remember = debounce(300, (text: string) => setTabValues({ "explain.zoom": text }));
    return zoom.window.subscribe((window) => windowText(window) !== tabValueNow() && remember(windowText(window)));
  }, []);
  return zoom;
}

const tabValueNow = (): string => view.more.peek()["explain.zoom"] ?? "";

function ZoomButtons({ zoom }: { zoom: Zoom }) {
  const { k } = zoom.window.value;
  const button = (sign: string, words: string, click: () => void, disabled = false) => (
    <button class="sign" aria-label={words} title={words} disabled={disabled} onClick={click}>
      {sign}
    </button>
  );
  return (
    <div class="zoom row" role="group" aria-label="Zoom">
      {button("+", "Zoom in", () => zoom.by(STEP))}
      {button("−", "Zoom out", () => zoom.by(1 / STEP), k === 1)}
      {button("⤢", "Whole image", () => zoom.reset(), k === 1)}
      <output class="soft">{`${k < 9.95 ? Number(k.toFixed(1)) : Math.round(k)}×`}</output>
      <span class="soft">Ctrl + wheel or double click on the image</span>
    </div>
  );
}

