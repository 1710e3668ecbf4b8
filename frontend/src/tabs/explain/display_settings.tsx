// How the map is drawn: nothing here needs a request.

import { useId } from "preact/hooks";
import { Select, Slider } from "../../shared/controls";
import { OpacitySlider } from "../../shared/opacity_slider";
import { app } from "../../state/app";
import { setView, view } from "../../state/view";

const share = (value: number): string => (value > 0 ? `${Math.round(100 * value)} %` : "off");

/** Directly under the overlay: what is adjusted most. */
export function OpacityAndPalette() {
  return (
    <div class="painting">
      <OpacitySlider />
      <Palettes />
      <details class="more-display">
        <summary>Threshold, contour, blending</summary>
        <div class="fields">
          <Slider label="Threshold" value={view.threshold.value} text={share} change={(threshold) => setView({ threshold })} />
          <Slider
            label="Contour at the threshold"
            value={view.contour.value}
            text={share}
            change={(contour) => setView({ contour })}
          />
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

function Palettes() {
  const group = useId();
  const names = ["", ...Object.keys(app.start.palettes)];
  const selected = names.includes(view.colormap.value) ? view.colormap.value : "";
  return (
    <fieldset class="palettes">
      <legend>Colour map</legend>
      {names.map((name) => (
        <label key={name} title={name || "the colour map of the method"}>
          <input
            type="radio"
            name={group}
            value={name}
            checked={name === selected}
            onChange={() => setView({ colormap: name })}
          />
          {name && <Ramp name={name} />}
          <span>{name || "automatic"}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** The colours of a palette from low to high. */
export function Ramp({ name, label }: { name: string; label?: string }) {
  const background = app.painter.gradient(name);
  return <span class="ramp" style={{ background }} role={label ? "img" : undefined} aria-label={label} aria-hidden={label ? undefined : "true"} />;
}
