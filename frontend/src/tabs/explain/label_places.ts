// Where the labels of boxes stand, so that none hides another.

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface Size {
  width: number;
  height: number;
}

/** The free place of each label in a frame, in pixels from its corner; null where there is none. The first boxes choose first. */
export function labelPlaces(boxes: readonly Box[], sizes: readonly Size[], frame: Size): ({ x: number; y: number } | null)[] {
  const taken: Box[] = [];
  return boxes.map((box, i) => {
    const size = sizes[i]!;
    for (const [x, y] of candidates(box, size, frame)) {
      const place = { left: x, top: y, right: x + size.width, bottom: y + size.height };
      if (place.left < -0.5 || place.top < -0.5 || place.right > frame.width + 0.5 || place.bottom > frame.height + 0.5) continue;
      if (taken.some((other) => overlap(place, other))) continue;
      taken.push(place);
      return { x, y };
    }
    return null;
  });
}

const overlap = (a: Box, b: Box): boolean => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** Inside the upper left corner, else at the other corners, inside and outside, else along the left and the right edge. */
function* candidates(box: Box, { width, height }: Size, frame: Size): Generator<[number, number]> {
  const clamp = (x: number): number => Math.min(Math.max(x, 0), Math.max(0, frame.width - width));
  const [left, right] = [clamp(box.left), clamp(box.right - width)];
  const [top, bottom] = [Math.min(Math.max(box.top, 0), frame.height - height), Math.min(box.bottom, frame.height) - height];
  for (const y of [top, box.top - height]) for (const x of [left, right]) yield [x, y];
  for (const y of [bottom, box.bottom]) for (const x of [left, right]) yield [x, y];
  for (let y = top + height; y < bottom; y += height) for (const x of [left, right]) yield [x, y];
}
