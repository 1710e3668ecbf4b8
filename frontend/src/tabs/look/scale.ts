// What the colours of a map stand for, as numbers.

import { fill, h } from "../../dom";
import type { Field } from "../../maps/field";
import type { Look, Painter } from "../../maps/painter";
import { short } from "../../numbers";

export class Scale {
  readonly element = h("div", { class: "scale" });

  constructor(private readonly painter: Painter) {}

  show(field: Field | null, look: Look): void {
    if (!field) {
      fill(this.element);
      return;
    }
    const name = this.painter.palette(field, look.colormap);
    const diverging = this.painter.diverging(name);
    const high = short(field.top);
    const low = diverging ? `−${high}` : "0";
    const ramp = this.painter.ramp(name);
    ramp.setAttribute("role", "img");
    ramp.setAttribute("aria-label", `Colours from ${low} to ${high}`);
    const blank = h("span", { class: "blank" });
    blank.style.background = this.painter.blank;
    fill(
      this.element,
      ramp,
      h("div", { class: "ends" }, h("span", {}, low), diverging && h("span", {}, "0"), h("span", {}, high)),
      field.partly && h("p", { class: "note" }, blank, "outside the network input"),
    );
  }
}
