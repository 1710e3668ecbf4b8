// The boxes, masks and points of an image over it. A click on the image explains the smallest of them there; the keyboard
// reaches each one as a button. The pointer stays with the canvas, which displays map values and is zoomed by gestures.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { percent } from "../../numbers";
import type { Window } from "../../shared/zoom";
import { labelPlaces } from "./label_places";
import { type Shape, targetName } from "./targets";

/** Smallest side of what can be clicked, in pixels of the screen. */
export const REACH_PX = 24;

interface Props {
  shapes: readonly Shape[];
  /** (width, height) of the image, in pixels. */
  size: readonly [number, number];
  isSelected: (spec: string) => boolean;
  choose: (spec: string) => void;
  /** The part of the image that is displayed. */
  window: Window;
}

export function TargetMarks({ shapes, size, isSelected, choose, window }: Props) {
  const { k, x, y } = window;
  const [width, height] = size;
  const box = useRef<HTMLDivElement>(null);
  const place = ([left, top, right, bottom]: Shape["rect"]): Record<string, string> => ({
    left: `${100 * k * (left / width - x)}%`,
    top: `${100 * k * (top / height - y)}%`,
    width: `${(100 * k * (right - left)) / width}%`,
    height: `${(100 * k * (bottom - top)) / height}%`,
  });
  const outside = ([left, top, right, bottom]: Shape["rect"]): boolean =>
    right / width < x || bottom / height < y || left / width > x + 1 / k || top / height > y + 1 / k;
  useLabelPlaces(box, shapes.map(({ target }) => isSelected(target.spec)), [shapes, k, x, y]);
  return (
    <div class="targets-on-image" role="group" aria-label="Targets on the image" ref={box}>
      {shapes.map(({ target, mask, outline }, i) =>
        mask ? (
          <svg
            key={i}
            class={isSelected(target.spec) ? "selected" : ""}
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
          aria-pressed={isSelected(target.spec)}
          disabled={!target.spec}
          hidden={outside(rect)}
          // The most probable are first, also for the keyboard, and above the others.
          style={{ ...place(rect), zIndex: isSelected(target.spec) ? shapes.length : shapes.length - 1 - i }}
          onClick={() => choose(target.spec)}
        />
      ))}
      {shapes.map(({ target, rect }, i) => (
        <span
          key={i}
          class={`target-label ${isSelected(target.spec) ? "selected" : ""}`}
          data-at={i}
          aria-hidden="true"
          hidden={outside(rect)}
          style={{ zIndex: shapes.length + 1 }}
        >
          {targetName(target)}
        </span>
      ))}
    </div>
  );
}

/** Put the labels where none hides another: that of the selected target first, then the most probable. */
function useLabelPlaces(box: { readonly current: HTMLDivElement | null }, selected: readonly boolean[], changes: readonly unknown[]): void {
  const [frame, setFrame] = useState("");
  useLayoutEffect(() => {
    const observer = new ResizeObserver(() => box.current && setFrame(`${box.current.offsetWidth} ${box.current.offsetHeight}`));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const places = [...box.current!.querySelectorAll<HTMLElement>(".place")];
    const tags = [...box.current!.querySelectorAll<HTMLElement>(".target-label")].filter((tag) => !tag.hidden);
    const at = (tag: HTMLElement): number => Number(tag.dataset.at);
    tags.sort((a, b) => Number(selected[at(b)]) - Number(selected[at(a)]) || at(a) - at(b));
    const here = box.current!.getBoundingClientRect();
    const boxes = tags.map((tag) => {
      const { left, top, right, bottom } = places[at(tag)]!.getBoundingClientRect();
      return { left: left - here.left, top: top - here.top, right: right - here.left, bottom: bottom - here.top };
    });
    const sizes = tags.map((tag) => ({ width: tag.offsetWidth, height: tag.offsetHeight }));
    labelPlaces(boxes, sizes, { width: here.width, height: here.height }).forEach((found, i) => {
      const { style } = tags[i]!;
      style.visibility = found ? "visible" : "hidden"; // it is in the list beside the image
      if (found) [style.left, style.top] = [`${found.x}px`, `${found.y}px`];
    });
  }, [frame, selected.join(), ...changes]);
}

/** "dog (box 3), 93 %". */
const targetText = ({ label, probability }: Shape["target"]): string =>
  probability === null ? label : `${label}, ${percent(probability)}`;
