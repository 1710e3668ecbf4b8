// The boxes, masks and points of an image over it. A click on the image explains the smallest of them there; the keyboard
// reaches each one as a button. The pointer stays with the canvas, which displays map values and is zoomed by gestures.

import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { percent } from "../../numbers";
import type { Window } from "../../shared/zoom";
import { type Shape, targetName } from "./targets";

/** Smallest side of what can be clicked, in pixels of the screen. */
export const REACH_PX = 24;

interface Props {
  shapes: readonly Shape[];
  /** (width, height) of the image, in pixels. */
  size: readonly [number, number];
  isSelected: (spec: string) => boolean;
  choose: (spec: string) => void;
  window: Window;
}

export function TargetMarks({ shapes, size, isSelected, choose, window: { k, x, y } }: Props) {
  const [width, height] = size;
  const box = useRef<HTMLDivElement>(null);
  const place = ([left, top, right, bottom]: Shape["rect"]): Record<string, string> => ({
    left: `${100 * k * (left / width - x)}%`,
    top: `${100 * k * (top / height - y)}%`,
    width: `${(100 * k * (right - left)) / width}%`,
    height: `${(100 * k * (bottom - top)) / height}%`,
  });
  const marks = shapes.map((shape, i) => {
    const { target: { spec, label, probability }, rect: [left, top, right, bottom] } = shape;
    const selected = isSelected(spec);
    return {
      ...shape,
      selected,
      outside: right / width < x || bottom / height < y || left / width > x + 1 / k || top / height > y + 1 / k,
      // The most probable are first, also for the keyboard, and above the others.
      zIndex: selected ? shapes.length : shapes.length - 1 - i,
      words: probability === null ? label : `${label}, ${percent(probability)}`,
    };
  });
  useLabelPlaces(box, marks.map(({ selected }) => selected), [shapes, k, x, y]);
  return (
    <div class="targets-on-image" role="group" aria-label="Targets on the image" ref={box}>
      {marks.map(({ mask, outline, selected }, i) => mask && (
        <svg
          key={i}
          class={selected ? "selected" : ""}
          aria-hidden="true"
          viewBox={`0 0 ${mask.width} ${mask.height}`}
          preserveAspectRatio="none"
          style={place([0, 0, width, height])}
        >
          <path class="under" d={outline} />
          <path d={outline} />
        </svg>
      ))}
      {marks.map(({ target, rect, mask, selected, outside, zIndex, words }, i) => (
        <button
          key={i}
          class={`place ${mask ? "masked" : target.box ? "" : "point"}`}
          aria-label={words}
          aria-pressed={selected}
          disabled={!target.spec}
          hidden={outside}
          style={{ ...place(rect), zIndex }}
          onClick={() => choose(target.spec)}
        />
      ))}
      {marks.map(({ target, selected, outside }, i) => (
        <span
          key={i}
          class={`target-label ${selected ? "selected" : ""}`}
          data-at={i}
          aria-hidden="true"
          hidden={outside}
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
  const frame = useSignal("");
  useLayoutEffect(() => {
    const element = box.current!;
    const observer = new ResizeObserver(() => (frame.value = `${element.offsetWidth} ${element.offsetHeight}`));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    const places = [...box.current!.querySelectorAll<HTMLElement>(".place")];
    const labels = [...box.current!.querySelectorAll<HTMLElement>(".target-label")].filter((label) => !label.hidden);
    const at = (label: HTMLElement): number => Number(label.dataset.at);
    labels.sort((a, b) => Number(selected[at(b)]) - Number(selected[at(a)]) || at(a) - at(b));
    const here = box.current!.getBoundingClientRect();
    const boxes = labels.map((label) => {
      const { left, top, right, bottom } = places[at(label)]!.getBoundingClientRect();
      return { left: left - here.left, top: top - here.top, right: right - here.left, bottom: bottom - here.top };
    });
    const sizes = labels.map((label) => ({ width: label.offsetWidth, height: label.offsetHeight }));
    labelPlaces(boxes, sizes, here).forEach((found, i) => {
      const { style } = labels[i]!;
      style.visibility = found ? "visible" : "hidden"; // it is in the list beside the image
      if (found) [style.left, style.top] = [`${found.x}px`, `${found.y}px`];
    });
  }, [frame.value, selected.join(), ...changes]);
}

export type Box = Record<"left" | "top" | "right" | "bottom", number>;
type Size = Record<"width" | "height", number>;

/** The free place of each label in a frame, in pixels from its corner; null where there is none. The first boxes choose first. */
export function labelPlaces(boxes: readonly Box[], sizes: readonly Size[], frame: Size): ({ x: number; y: number } | null)[] {
  const taken: Box[] = [];
  return boxes.map((box, i) => {
    const { width, height } = sizes[i]!;
    const isFree = ({ left, top, right, bottom }: Box): boolean =>
      left >= -0.5 && top >= -0.5 && right <= frame.width + 0.5 && bottom <= frame.height + 0.5 &&
      !taken.some((other) => left < other.right && other.left < right && top < other.bottom && other.top < bottom);
    for (const [x, y] of candidates(box, sizes[i]!, frame)) {
      const place = { left: x, top: y, right: x + width, bottom: y + height };
      if (!isFree(place)) continue;
      taken.push(place);
      return { x, y };
    }
    return null;
  });
}

/** Inside the upper left corner, else at the other corners, inside and outside, else along the left and the right edge. */
function* candidates(box: Box, { width, height }: Size, frame: Size): Generator<[number, number]> {
  const clamp = (x: number): number => Math.min(Math.max(x, 0), Math.max(0, frame.width - width));
  const [top, bottom] = [Math.min(Math.max(box.top, 0), frame.height - height), Math.min(box.bottom, frame.height) - height];
  const heights = [top, box.top - height, bottom, box.bottom];
  for (let y = top + height; y < bottom; y += height) heights.push(y);
  for (const y of heights) for (const x of [box.left, box.right - width]) yield [clamp(x), y];
}
