// The image picker, for tabs that are not moved yet.

import { h as create, render } from "preact";
import { h } from "../dom";
import type { Page } from "../page";
import { ImagePicker } from "../shared/image_picker";
import { infoOf } from "../shared/sample_store";
import type { ImageInfo } from "../api/types";

export class Chooser {
  readonly element = h("div");

  constructor(_: Page) {
    render(create(ImagePicker, {}), this.element);
  }

  load(): Promise<void> {
    return Promise.resolve();
  }

  info(id: string): ImageInfo | undefined {
    return infoOf(id);
  }
}
