import { beforeEach, describe, expect, it, vi } from "vitest";
import { followGestures, type Window, windowOf, windowText, Zoom } from "../src/shared/zoom";

let zoom: Zoom;
let canvas: HTMLCanvasElement;
const told = vi.fn();

beforeEach(() => {
  canvas = document.createElement("canvas");
  document.createElement("div").append(canvas);
  zoom = new Zoom();
  followGestures(zoom, canvas);
  zoom.window.subscribe(told);
  told.mockClear();
});

const inside = ({ k, x, y }: Window): void => {
  expect(k).toBeGreaterThanOrEqual(1);
  expect(k).toBeLessThanOrEqual(16);
  for (const at of [x, y]) {
    expect(at).toBeGreaterThanOrEqual(0);
    expect(at).toBeLessThanOrEqual(1 - 1 / k + 1e-4);
  }
};

const key = (name: string, shiftKey = false): boolean => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name, shiftKey }));

describe("the part of the image that is displayed", () => {
  it("never leaves the image, however far one pans", () => {
    zoom.by(2);
    for (const arrow of ["ArrowRight", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp"])
      for (let step = 0; step < 15; step++) {
        key(arrow, true);
        inside(zoom.window.value);
      }
    expect(zoom.window.value).toEqual({ k: 2, x: 0, y: 0 });
    for (let step = 0; step < 15; step++) key("ArrowRight", true);
    expect(zoom.window.value).toEqual({ k: 2, x: 0.5, y: 0 });
  });

  it("never leaves the image, whatever an address says", () => {
    for (const [given, then] of [
      [{ k: 4, x: 2, y: -1 }, { k: 4, x: 0.75, y: 0 }],
      [{ k: 99, x: 0.99, y: 0.5 }, { k: 16, x: 0.9375, y: 0.5 }],
      [{ k: 0.1, x: 0.5, y: 0.5 }, { k: 1, x: 0, y: 0 }],
    ] as const) {
      zoom.set(given);
      expect(zoom.window.value).toEqual(then);
    }
  });

  it("keeps what is under the pointer where it is", () => {
    zoom.set({ k: 2, x: 0.2, y: 0.3 });
    const under = (share: number, from: number): number => from + share / zoom.window.value.k;
    const [before, beside] = [under(0.25, zoom.window.value.x), under(0.75, zoom.window.value.y)];
    zoom.by(1.7, 0.25, 0.75);
    expect(zoom.window.value.k).toBeCloseTo(3.4);
    expect(under(0.25, zoom.window.value.x)).toBeCloseTo(before, 3);
    expect(under(0.75, zoom.window.value.y)).toBeCloseTo(beside, 3);
  });

  it("pans by a tenth of what is zoom.window.value", () => {
    zoom.set({ k: 4, x: 0.5, y: 0.25 });
    key("ArrowLeft", true);
    expect(zoom.window.value).toEqual({ k: 4, x: 0.475, y: 0.25 });
    key("ArrowDown", true);
    expect(zoom.window.value).toEqual({ k: 4, x: 0.475, y: 0.275 });
  });

  it("is told once a change, and comes back from its address", () => {
    zoom.set({ k: 4, x: 0.5, y: 0.25 });
    zoom.set({ k: 4, x: 0.5, y: 0.25 });
    expect(told).toHaveBeenCalledTimes(1);
    expect(windowOf(windowText(zoom.window.value))).toEqual(zoom.window.value);
    expect(windowText({ k: 1, x: 0, y: 0 })).toBe("");
    for (const text of [undefined, "", "x", "NaN,1,2", "Infinity,0,0"]) expect(windowOf(text)).toEqual({ k: 1, x: 0, y: 0 });
  });
});
