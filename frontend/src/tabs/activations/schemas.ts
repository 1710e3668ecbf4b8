// The schemas and requests of this tab.

import { post } from "../../api/http";
import type { Schemas } from "../../api/types";
import { view } from "../../state/view";

export type Channels = Schemas["Channels"];
export type Channel = Schemas["Channel"];
export type TopImagesOut = Schemas["TopImagesOut"];
export type TopImage = Schemas["TopImage"];
export type Order = Channels["order"];

export const ORDERS: { value: Order; text: string }[] = [
  { value: "contribution", text: "Contribution" },
  { value: "gradient", text: "Mean gradient (Grad-CAM's weight)" },
  { value: "activation", text: "Mean activation" },
  { value: "channel", text: "Channel index" },
];

/** Whose channels: the same for every slice and every order of them. */
export interface Subject {
  image: string;
  model: string;
  layer: string | null;
  target: string | null;
  score: string;
}

export const subjectOfView = (): Subject => ({
  image: view.image.value,
  model: view.model.value,
  layer: view.layer.value || null,
  target: view.target.value || null,
  score: view.score.value,
});

/** A slice of the channels, in an order. */
export const fetchChannels = (subject: Subject, order: Order, offset: number, count: number, signal?: AbortSignal) =>
  post<Channels>("/api/channels", { ...subject, order, offset, count }, signal);
