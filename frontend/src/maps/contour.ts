// A line round all that is at least so strong.

/** Light with a dark edge: visible on any image. `inside` has a 1 for every pixel that is strong enough. */
export function outlined(photo: ImageData, inside: Uint8Array): void {
  const { width, height, data } = photo;
  const reach = Math.max(1, Math.round(Math.min(width, height) / 200));
  for (const [by, [r, g, b]] of [
    [2 * reach, [29, 29, 34]],
    [reach, [255, 255, 255]],
  ] as const) {
    const grown = dilated(inside, width, height, by);
    for (let i = 0; i < grown.length; i++) {
      if (!grown[i] || inside[i]) continue;
      data[4 * i] = r;
      data[4 * i + 1] = g;
      data[4 * i + 2] = b;
    }
  }
}

/** Every place from which a marked one is at most `by` steps away, along each axis. */
function dilated(marked: Uint8Array, width: number, height: number, by: number): Uint8Array {
  const across = new Uint8Array(marked.length);
  const both = new Uint8Array(marked.length);
  for (let y = 0; y < height; y++)
    for (let x = 0, last = -Infinity; x < width + by; x++) {
      if (x < width && marked[y * width + x]) last = x;
      const at = x - by;
      if (at >= 0 && last >= at - by) across[y * width + at] = 1;
    }
  for (let x = 0; x < width; x++)
    for (let y = 0, last = -Infinity; y < height + by; y++) {
      if (y < height && across[y * width + x]) last = y;
      const at = y - by;
      if (at >= 0 && last >= at - by) both[at * width + x] = 1;
    }
  return both;
}
