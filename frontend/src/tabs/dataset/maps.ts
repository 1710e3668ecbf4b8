// Maps of a run's pictures.

import { explain } from "../../api/explain";
import type { ExplainResponse as Answer, MethodChoice } from "../../api/types";
import type { Page } from "../../page";
import type { RunInfo } from "./wire";

/** What makes the maps here: the view's method where it is quick and depends on the class, else Grad-CAM. */
export function methodOf(page: Page): string {
  const fits = (one: MethodChoice): boolean => one.quick && !one.class_free;
  const chosen = page.start.methods.find((one) => one.name === page.store.view.method);
  return chosen && fits(chosen) ? chosen.name : "grad_cam";
}

/** The picture's maps for these classes; for the predicted one if none is named. */
export function mapsOf(page: Page, run: RunInfo, id: string, targets: number[], signal: AbortSignal): Promise<Answer> {
  const methods = [methodOf(page)];
  return explain({ image: id, model: run.served_model!, methods, layers: [], targets, score: "logit" }, undefined, signal);
}
