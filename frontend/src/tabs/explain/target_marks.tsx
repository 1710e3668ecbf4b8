// The boxes, masks and points of an image over it. A click on the image explains the smallest of them there; the keyboard
// reaches each one as a button. The pointer stays with the canvas, which displays map values and is zoomed by gestures.

import { percent } from "../../numbers";
import type { Zoom } from "../../shared/zoom";
import { explainTarget, type Shape } from "./targets";

/** Smallest side of what can be clicked, in pixels of the screen. */
export const REACH_PX = 24;

export function TargetMarks(props: { shapes: readonly Shape[]; size: readonly [number, number]; selected: string; zoom: Zoom }) {
  const { shapes, size, selected, zoom } = props;
  const { k, x, y } = zoom.window.value;
  const [width, height] = size;
  const place = ([left, top, right, bottom]: Shape["rect"]): Record<string, string> => ({
    left: `${100 * k * (left / width - x)}%`,
    top: `${100 * k * (top / height - y)}%`,
    width: `${(100 * k * (right - left)) / width}%`,
    height: `${(100 * k * (bottom - top)) / height}%`,
  });
  const outside = ([left, top, right, bottom]: Shape["rect"]): boolean =>
    right / width < x || bottom / height < y || left / width > x + 1 / k || top / height > y + 1 / k;
  return (
    <div class="targets-on-image" role="group" aria-label="Targets on the image">
      {shapes.map(({ target, mask, outline }, i) =>
        mask ? (
          <svg
            key={i}
            class={target.spec === selected ? "selected" : ""}
            aria-hidden="true"
            viewBox={`0 0 ${mask.width} ${mask.height}`}
            preserveAspectRatio="none"
            style={place([0, 0, width, height])}
          >
            <path class="under" d={outline} />
            <path d={outline} />
          </svg>
        ) : null,
      )}
      {shapes.map(({ target, rect, mask }, i) => (
        <button
          key={i}
          class={`place ${mask ? "masked" : target.box ? "" : "point"}`}
          aria-label={targetText(target)}
          aria-pressed={target.spec === selected}
          disabled={!target.spec}
          hidden={outside(rect)}
          style={place(rect)}
          onClick={() => explainTarget(target.spec)}
        >
          <span class="tag">{target.name}</span>
        </button>
      ))}
    </div>
  );
}

/** "dog (box 3), 93 %". */
const targetText = ({ label, probability }: Shape["target"]): string =>
  probability === null ? label : `${label}, ${percent(probability)}`;
