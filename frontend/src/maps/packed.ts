// Maps as the server sends them: half floats in base64.

import type { EncodedMap } from "../api/types";

/** One map on its own grid, in its own units. */
export interface Grid {
  height: number;
  width: number;
  values: Float32Array;
}

export function unpack({ count, height, width, peak, values }: EncodedMap): Grid[] {
  const bits = new DataView(bytes(values).buffer);
  const known = halves();
  const size = height * width;
  return Array.from({ length: count }, (_, which) => {
    const made = new Float32Array(size);
    for (let i = 0, at = 2 * which * size; i < size; i++, at += 2) made[i] = known[bits.getUint16(at, true)]! * peak;
    return { height, width, values: made };
  });
}

export function bytes(text: string): Uint8Array<ArrayBuffer> {
  const letters = atob(text);
  const made = new Uint8Array(letters.length);
  for (let i = 0; i < made.length; i++) made[i] = letters.charCodeAt(i);
  return made;
}

let table: Float32Array | null = null;

/** All half floats as numbers; DataView reads none everywhere yet. */
function halves(): Float32Array {
  table ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => half(bits));
  return table;
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
