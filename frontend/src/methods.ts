// What has to be known of a method before it is asked for; also of combined ones, "refine(layer_cam)".

import type { Page } from "./page";

/** Whether it maps a layer; of combined ones, whether what is inside does. */
export function isLayered(page: Page, method: string): boolean {
  const inner = page.start.methods.filter((one) => new RegExp(`\\b${one.name}\\b`).test(method));
  return inner.length === 0 || inner.some((one) => one.layered);
}

/** Whether one map is made of several layers. */
export const fuses = (method: string): boolean => /\b(refine|fuse_max|fuse_mean)\(/.test(method);

/** Whether it maps just the layer that is asked for. */
export const mapsOneLayer = (page: Page, method: string): boolean => isLayered(page, method) && !fuses(method);

/** Whether a map is there at once; what runs the network often is not, nor what is put together. */
export function isQuick(page: Page, method: string): boolean {
  return page.start.methods.find((one) => one.name === method)?.quick ?? false;
}
