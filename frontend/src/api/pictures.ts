// Pictures from the server, decoded, and the last of them kept.

import { ask, Failed } from "./ask";

const KEPT = 200;

/** Where the server shows a picture. */
export const pictureUrl = (id: string, longest = 1024): string => `/api/images/${id}?longest=${longest}`;

const images = new Map<string, Promise<HTMLImageElement>>();

/** A picture, decoded. */
export function picture(id: string, longest = 1024): Promise<HTMLImageElement> {
  const url = pictureUrl(id, longest);
  const known = images.get(url);
  if (known) return known;
  const loaded = decoded(url).catch(async () => {
    images.delete(url);
    await ask(url, {}); // an image does not tell why it failed; the server does, or does not answer at all
    throw new Failed("ImageError", "The browser cannot display this image. Select it again.", 0);
  });
  images.set(url, loaded);
  if (images.size > KEPT) images.delete(images.keys().next().value as string);
  return loaded;
}

/** The picture at an address, ready to be drawn. */
export async function decoded(address: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}
