// Images from the server, decoded; the most recent ones are kept.

import { request, RequestError } from "./http";

const KEPT = 200;

/** The URL of an image of the app. */
export const imageUrl = (id: string, longest = 1024): string => `/api/images/${id}?longest=${longest}`;

const images = new Map<string, Promise<HTMLImageElement>>();

/** An image of the app, decoded. */
export function loadImage(id: string, longest = 1024): Promise<HTMLImageElement> {
  const url = imageUrl(id, longest);
  const known = images.get(url);
  if (known) return known;
  const loaded = decodeImage(url).catch(async () => {
    images.delete(url);
    await request(url, {}); // an image element does not say why it failed; the server does
    throw new RequestError("ImageError", "The browser cannot display this image. Select it again.", 0);
  });
  images.set(url, loaded);
  if (images.size > KEPT) images.delete(images.keys().next().value as string);
  return loaded;
}

/** The image at a URL, ready to be drawn. */
export async function decodeImage(url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}
