// The image, the map, the map over the image, and the predicted classes of a segmentation network; directly under them what is
// adjusted most. Nothing here needs a request.

import { useSignal } from "@preact/signals";
import { useEffect, useId, useMemo, useRef } from "preact/hooks";
import type { ExplainResponse } from "../../api/types";
import type { Field } from "../../maps/field";
import { short, sized } from "../../numbers";
import { CheckBox, Select, Slider } from "../../shared/controls";
import { debounce } from "../../shared/debounce";
import { type Mark, MapView } from "../../shared/map_view";
import { OpacitySlider } from "../../shared/opacity_slider";
import { STEP, windowOf, windowText, Zoom } from "../../shared/zoom";
import { app } from "../../state/app";
import { setTabValues, setView, tabValue, view } from "../../state/view";
import type { Classes } from "./class_grid";
import { ClassesView } from "./classes_view";
import { NetworkStrip } from "./layer_choice";
import { mapCaption } from "./notes";
import { fieldOf, type Strength, strengthText } from "./requests";
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
  spec: string;
  isSelected: (spec: string) => boolean;
  choose: (spec: string) => void;
}

export function Result(props: {
  answer: ExplainResponse | null;
  /** The image of the answer, or of the view if there is no map of it. */
  image: HTMLImageElement | null;
  name: string;
  strength: Strength | null;
  /** Targets with a place on the image. */
  targets: PlacedTargets | null;
  /** The predicted classes, null while they are waited for; undefined for a model without them. */
  classes: Classes | null | undefined;
  busy: boolean;
}) {
  const { answer, image, name, strength, targets, classes, busy } = props;
  const mark = useSignal<Mark | null>(null);
  const zoom = useZoom(answer?.image ?? view.image.value);
  const shared = tabValue("explain.scale") === "shared" && strength !== null;
  const own = answer && fieldOf(answer);
  const top = shared ? strength.reference.top : null;
  const field = useMemo(() => (own && top !== null ? own.scaledTo(top) : own), [own, top]);
  const common = { image, field, mark, zoom };
  const empty = busy ? "Computing the map …" : "No map";
  const caption = answer ? mapCaption(answer) : empty;
  const mapWords = own ? `Map, ${sized([own.map.height, own.map.width])}` : empty;
  const ratio = image ? image.naturalWidth / image.naturalHeight : 1;
  const marked = targets && targets.shapes.length > 0 ? targets : null;
  const pick = (x: number, y: number, perPixel: number): void => {
    const { shapes, size, isSelected, choose } = marked!;
    const spec = shapeAt(shapes, size, x * size[0], y * size[1], REACH_PX * perPixel * size[0])?.target.spec;
    if (spec && !isSelected(spec)) choose(spec);
  };
  const below = useMemo(() => [<Painting key="painting" />, <ZoomButtons key="zoom" zoom={zoom} />], []);
  const strip = useMemo(() => <NetworkStrip />, []);
  return (
    <>
      <div class={`views ${ratio < PORTRAIT ? "portrait" : ""} ${classes === undefined ? "" : "with-classes"}`} style={{ "--ratio": String(ratio) }}>
        <MapView kind="overlay" {...common} label={caption} caption={<b>{caption}</b>} pick={marked ? pick : undefined}>
          {image && marked && <TargetMarks {...marked} window={zoom.window.value} />}
          {!image && !view.image.value && <p class="empty">Drop an image here</p>}
        </MapView>
        <div class="beside">
          <MapView kind="photo" {...common} label={name} caption={name} />
          <div class="map-and-scale">
            <MapView kind="heat" {...common} label={mapWords} caption={mapWords} />
            {field && <ColourScale field={field} />}
          </div>
          {classes !== undefined && <ClassesView {...common} classes={classes} targets={targets} />}
        </div>
        <div class="adjust">
          {strength && (
            <div class={`strength ${strength.ratio < WEAK ? "weak" : ""}`} role="note">
              <p>{strengthText(strength)}</p>
              <CheckBox
                label="Same colour scale"
                title={`Full colour stands for the maximum of the map for ${strength.name}`}
                checked={shared}
                change={(checked) => setTabValues({ "explain.scale": checked ? "shared" : null })}
              />
            </div>
          )}
          {below}
        </div>
      </div>
      {strip}
    </>
  );
}

/** What the colours of a map stand for, as numbers. */
function ColourScale({ field }: { field: Field }) {
  const palette = app.painter.palette(field, view.colormap.value);
  const high = short(field.top);
  const ends = app.painter.diverging(palette) ? [`−${high}`, "0", high] : ["0", high];
  return (
    <div class="scale">
      <Ramp name={palette} label={`Colours from ${ends[0]} to ${high}`} />
      <div class="ends">{ends.map((end) => <span key={end}>{end}</span>)}</div>
      {field.partly && (
        <p class="note">
          <span class="blank" style={{ background: app.painter.blank }} />
          outside the network input
        </p>
      )}
    </div>
  );
}

function Ramp({ name, label }: { name: string; label?: string }) {
  const hidden = label ? { role: "img" as const, "aria-label": label } : { "aria-hidden": true };
  return <span class="ramp" style={{ background: app.painter.gradient(name) }} {...hidden} />;
}

const share = (value: number): string => (value > 0 ? `${Math.round(100 * value)} %` : "off");

function Painting() {
  const group = useId();
  const names = ["", ...Object.keys(app.start.palettes)];
  const selected = names.includes(view.colormap.value) ? view.colormap.value : "";
  return (
    <div class="painting">
      <OpacitySlider />
      <fieldset class="palettes">
        <legend>Colour map</legend>
        {names.map((name) => (
          <label key={name} title={name || "the colour map of the method"}>
            <input type="radio" name={group} value={name} checked={name === selected} onChange={() => setView({ colormap: name })} />
            {name && <Ramp name={name} />}
            <span>{name || "automatic"}</span>
          </label>
        ))}
      </fieldset>
      <details class="more-display">
        <summary>Threshold, contour, blending</summary>
        <div class="fields">
          <Slider label="Threshold" value={view.threshold.value} text={share} change={(threshold) => setView({ threshold })} />
          <Slider label="Contour at the threshold" value={view.contour.value} text={share} change={(contour) => setView({ contour })} />
          <Select
            label="Blending"
            value={view.blend.value}
            options={[
              { value: "saliency", text: "opacity by map value" },
              { value: "uniform", text: "constant opacity" },
            ]}
            change={(blend) => setView({ blend: blend as "saliency" })}
          />
        </div>
      </details>
    </div>
  );
}

const zoomInView = (): string => view.more.peek()["explain.zoom"] ?? "";

/** The zoom of the views; restored from the address, and reset for another image. */
function useZoom(image: string): Zoom {
  const zoom = useMemo(() => {
    const made = new Zoom();
    made.set(windowOf(zoomInView()));
    return made;
  }, []);
  const previous = useRef(image);
  useEffect(() => {
    if (previous.current && image && previous.current !== image) zoom.reset();
    previous.current = image || previous.current;
  }, [image]);
  useEffect(() => {
    const remember = debounce(300, (text: string) => setTabValues({ "explain.zoom": text }));
    return zoom.window.subscribe((window) => windowText(window) !== zoomInView() && remember(windowText(window)));
  }, []);
  return zoom;
}

function ZoomButtons({ zoom }: { zoom: Zoom }) {
  const { k } = zoom.window.value;
  const buttons = [
    ["+", "Zoom in", () => zoom.by(STEP), false],
    ["−", "Zoom out", () => zoom.by(1 / STEP), k === 1],
    ["⤢", "Whole image", () => zoom.reset(), k === 1],
  ] as const;
  return (
    <div class="zoom row" role="group" aria-label="Zoom">
      {buttons.map(([sign, words, click, disabled]) => (
        <button key={sign} class="sign" aria-label={words} title={words} disabled={disabled} onClick={click}>{sign}</button>
      ))}
      <output class="soft">{`${k < 9.95 ? Number(k.toFixed(1)) : Math.round(k)}×`}</output>
      <span class="soft">Ctrl + wheel or double click on the image</span>
    </div>
  );
}
