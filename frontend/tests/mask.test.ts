import { describe, expect, it } from "vitest";
import { bytes } from "../src/maps/packed";
import { Mask } from "../src/tabs/trust/mask";

/** As NumPy's unpackbits reads them, which the server uses: the highest bit of each byte first. */
function unpacked(bits: string, count: number): number[] {
  const all = [...bytes(bits)].flatMap((byte) => [...byte.toString(2).padStart(8, "0")].map(Number));
  expect(all.length).toBe(8 * Math.ceil(count / 8));
  expect(all.slice(count).every((bit) => bit === 0)).toBe(true);
  return all.slice(0, count);
}

describe("a mask", () => {
  it("is sent as the server reads it", () => {
    const mask = new Mask(5, 3); // fifteen cells: the last byte is not full
    for (const cell of [0, 6, 7, 8, 14]) mask.marked[cell] = 1;
    const { width, height, bits } = mask.packed();
    expect([width, height]).toEqual([5, 3]);
    expect(unpacked(bits, 15)).toEqual([...mask.marked]);
    expect(bits).toBe("g4I="); // numpy.packbits([1,0,0,0,0,0,1,1, 1,0,0,0,0,0,1]) in base64
  });

  it("covers the cells whose centres lie in a disc, on an oblong grid", () => {
    const mask = new Mask(8, 4);
    mask.disc(0.75, 0.25, 1.2, 1); // centre at column 6, row 1
    for (let row = 0; row < 4; row++)
      for (let column = 0; column < 8; column++)
        expect(mask.marked[row * 8 + column]).toBe(Math.hypot(column + 0.5 - 6, row + 0.5 - 1) <= 1.2 ? 1 : 0);
    expect(mask.share).toBeCloseTo(4 / 32);
  });

  it("stays within its edges", () => {
    const mask = new Mask(8, 4);
    mask.disc(1.1, -0.1, 3, 1);
    mask.box([0.5, 0.5, 9, 9], 1);
    expect(mask.marked.length).toBe(32);
    expect(mask.marked[31]).toBe(1);
    expect(mask.marked[0]).toBe(0); // nothing came round to the other side
    expect(mask.marked[8]).toBe(0);
  });

  it("covers a box to the last cell that it touches", () => {
    const mask = new Mask(8, 4);
    mask.box([0.25, 0.5, 0.51, 1], 1);
    expect([...mask.marked.slice(16, 24)]).toEqual([0, 0, 1, 1, 1, 0, 0, 0]);
    expect(mask.share).toBeCloseTo(6 / 32);
  });

  it("takes a step back, and no more than there were", () => {
    const mask = new Mask(2, 2);
    mask.keep();
    mask.box([0, 0, 1, 1], 1);
    expect(mask.share).toBe(1);
    mask.undo();
    expect([mask.share, mask.canUndo]).toEqual([0, false]);
    for (let step = 0; step < 100; step++) mask.keep();
    let back = 0;
    for (; mask.canUndo; back++) mask.undo();
    expect(back).toBe(40);
  });
});
