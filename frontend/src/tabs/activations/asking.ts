// What the tab Activations asks the server.

import { post } from "../../api/http";
import type { Page } from "../../page";
import type { Channels, Order } from "./wire";

export const ORDERS: { value: Order; text: string }[] = [
  { value: "contribution", text: "Contribution" },
  { value: "gradient", text: "Mean gradient (Grad-CAM's weight)" },
  { value: "activation", text: "Mean activation" },
  { value: "channel", text: "Channel index" },
];

/** What the channels are about: the same for every slice and every order of them. */
export interface About {
  image: string;
  model: string;
  layer: string | null;
  target: string | null;
  score: string;
}

export function aboutOf(page: Page): About {
  const { image: image, model, layer, target, score } = page.store.view;
  return { image, model, layer: layer || null, target: target || null, score };
}

/** A slice of the channels, in an order. */
export function channels(
  about: About,
  order: Order,
  offset: number,
  count: number,
  signal?: AbortSignal,
): Promise<Channels> {
  return post<Channels>("/api/channels", { ...about, order, offset, count }, signal);
}
