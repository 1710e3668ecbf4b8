// The opacity of all maps over their images.

import { setView, view } from "../state/view";
import { Slider } from "./controls";

export function OpacitySlider({ disabled }: { disabled?: boolean }) {
  return (
    <Slider
      label="Opacity"
      value={view.opacity.value}
      text={(value) => `${Math.round(100 * value)} %`}
      disabled={disabled}
      change={(opacity) => setView({ opacity })}
    />
  );
}
