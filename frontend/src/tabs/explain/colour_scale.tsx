// What the colours of a map stand for, as numbers.

import type { Field } from "../../maps/field";
import { short } from "../../numbers";
import { app } from "../../state/app";
import { view } from "../../state/view";
import { Ramp } from "./display_settings";

export function ColourScale({ field }: { field: Field }) {
  const palette = app.painter.palette(field, view.colormap.value);
  const diverging = app.painter.diverging(palette);
  const high = short(field.top);
  const low = diverging ? `−${high}` : "0";
  return (
    <div class="scale">
      <Ramp name={palette} label={`Colours from ${low} to ${high}`} />
      <div class="ends">
        <span>{low}</span>
        {diverging && <span>0</span>}
        <span>{high}</span>
      </div>
      {field.partly && (
        <p class="note">
          <span class="blank" style={{ background: app.painter.blank }} />
          outside the network input
        </p>
      )}
    </div>
  );
}
