// Images from the server, decoded; the most recent ones are kept.

import { Kept } from "../kept";
import { request, RequestError } from "./http";

export const imageUrl = (id: string, longest = 1024): string => `/api/images/${id}?longest=${longest}`;

const images = new Kept<Promise<HTMLImageElement>>(200);

export function loadImage(id: string, longest = 1024): Promise<HTMLImageElement> {
  const url = imageUrl(id, longest);
  return images.of(url, () =>
    decodeImage(url).catch(async () => {
      images.delete(url);
      await request(url, {}); // an image element does not say why it failed; the server does
      throw new RequestError("ImageError", "The browser cannot display this image. Select it again.", 0);
    }),
  );
}

export async function decodeImage(url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}
