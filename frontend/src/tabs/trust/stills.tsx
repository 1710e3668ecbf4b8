// What the network was given, as images beside the numbers.

import { useLayoutEffect, useRef } from "preact/hooks";
import { Field } from "../../maps/field";
import { plainGeometry } from "../../maps/landing";
import { unpack } from "../../maps/packed";
import { drawPhoto, photoSize } from "../../shared/photo";
import type { Verdict } from "./schemas";

const SIDE_PX = 320;

/** An image as it is; small ones as plain squares. `draw` adds to it. */
export function Still(props: { image: HTMLImageElement; label: string; draw?: (canvas: HTMLCanvasElement) => void }) {
  const { image, label, draw } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, height] = photoSize(image, SIDE_PX);
  useLayoutEffect(() => {
    drawPhoto(canvas.current!.getContext("2d")!, image, width, height);
    draw?.(canvas.current!);
  }, [image, draw]);
  return <canvas ref={canvas} role="img" aria-label={label} width={width} height={height} />;
}

/** The network input with a line around the region that was blurred. */
export function InputWithRegion({ image, found }: { image: HTMLImageElement; found: Verdict }) {
  const draw = (canvas: HTMLCanvasElement): void => outline(canvas, image, found.position_test!);
  return <Still image={image} label="The network input, with the highlighted region outlined" draw={draw} />;
}

function outline(canvas: HTMLCanvasElement, image: HTMLImageElement, test: NonNullable<Verdict["position_test"]>): void {
  const context = canvas.getContext("2d")!;
  const { width, height } = canvas;
  const grid = unpack(test.highlighted)[0]!;
  const region = new Field(grid, plainGeometry(image.naturalWidth, image.naturalHeight), false, false, 100).landed(width, height);
  const inside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && region[y * width + x]! >= 0.5;
  const pixels = context.getImageData(0, 0, width, height);
  const reach = Math.max(2, Math.round(width / 110));
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const here = inside(x, y);
      const around = [inside(x - reach, y), inside(x + reach, y), inside(x, y - reach), inside(x, y + reach)];
      if (here && around.includes(false)) pixels.data.set([255, 255, 255, 255], 4 * (y * width + x));
      else if (!here && around.includes(true)) pixels.data.set([29, 29, 34, 255], 4 * (y * width + x));
    }
  context.putImageData(pixels, 0, 0);
}
