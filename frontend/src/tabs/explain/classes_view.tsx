// The class that a segmentation network predicts at every pixel, in the colours of the panels, with a legend. A click on the
// image or on a class of the legend explains all pixels of that class.

import type { Signal } from "@preact/signals";
import { useCallback, useMemo } from "preact/hooks";
import type { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { type Mark, MapView } from "../../shared/map_view";
import { keptPixels } from "../../shared/photo";
import type { Zoom } from "../../shared/zoom";
import { type Classes, ClassGrid, painted, regionIn } from "./class_grid";
import type { PlacedTargets } from "./result";

interface Props {
  /** null while they are waited for. */
  classes: Classes | null;
  targets: PlacedTargets | null;
  image: HTMLImageElement | null;
  field: Field | null;
  mark: Signal<Mark | null>;
  zoom: Zoom;
}

export function ClassesView({ classes, targets, image, field, mark, zoom }: Props) {
  const grid = useMemo(() => classes && new ClassGrid(classes), [classes]);
  const spec = targets?.spec ?? "";
  const region = useMemo(
    () => (grid && targets ? regionIn(grid, spec, targets.shapes, targets.size) : null),
    [grid, spec, targets?.shapes],
  );
  const paint = useCallback(
    (canvas: HTMLCanvasElement, photo: HTMLImageElement) => {
      const { width, height } = canvas;
      if (grid) canvas.getContext("2d")!.putImageData(painted(keptPixels(photo, width, height), grid, region), 0, 0);
    },
    [grid, region],
  );
  const choose = (chosen: string | undefined): void => {
    if (chosen !== undefined && targets && !targets.isSelected(chosen)) targets.choose(chosen);
  };
  const { k, x, y } = zoom.window.value;
  const percentOf = (fraction: number): string => `${100 * k * fraction}%`;
  const all = grid?.classes ?? [];
  return (
    <div class="classes-and-legend">
      <MapView
        kind="classes"
        image={grid && image}
        field={field}
        mark={mark}
        zoom={zoom}
        label={`Predicted classes: ${all.map(({ name, fraction }) => `${name} ${percent(fraction)}`).join(", ")}`}
        caption="Predicted classes"
        paint={paint}
        read={(left, top) => grid?.at(left, top)?.name ?? "no class"}
        pick={(left, top) => choose(grid?.at(left, top)?.spec)}
      >
        {grid && region && (
          <div class="region-in-question" aria-hidden="true">
            {region.point ? (
              <span style={{ left: percentOf(region.point[0] - x), top: percentOf(region.point[1] - y) }} />
            ) : (
              <svg
                viewBox={`0 0 ${grid.width} ${grid.height}`}
                preserveAspectRatio="none"
                style={{ left: percentOf(-x), top: percentOf(-y), width: percentOf(1), height: percentOf(1) }}
              >
                <path class="under" d={region.outline} />
                <path d={region.outline} />
              </svg>
            )}
          </div>
        )}
      </MapView>
      {grid && targets && (
        <div class="class-legend" role="group" aria-label="Predicted classes">
          {all.map(({ index, name, colour, fraction, spec: chosen }) => (
            <button key={index} aria-pressed={targets.isSelected(chosen)} title={name} onClick={() => choose(chosen)}>
              <span class="swatch" style={{ background: colour }} aria-hidden="true" />
              <span class="name">{name}</span> <span class="number">{percent(fraction)}</span>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
