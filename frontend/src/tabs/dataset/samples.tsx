// Images of a run: their maps, and links to the other tabs.

import { explain } from "../../api/explain";
import type { ExplainResponse, MethodChoice } from "../../api/types";
import { app, methodOfView as viewMethod } from "../../state/app";
import { setView, view } from "../../state/view";
import type { RunInfo } from "./schemas";

/** The method of the maps in this tab: that of the view if it is quick and depends on the class, else Grad-CAM. */
export function methodOfView(): string {
  const fits = (one: MethodChoice): boolean => one.quick && !one.class_free;
  const chosen = app.start.methods.find((one) => one.name === viewMethod());
  return chosen && fits(chosen) ? chosen.name : "grad_cam";
}

/** The maps of an image for some classes; for the predicted one if none is given. */
export function mapsOf(run: RunInfo, id: string, targets: number[], signal: AbortSignal): Promise<ExplainResponse> {
  const methods = [methodOfView()];
  return explain({ image: id, model: run.served_model!, methods, layers: [], targets, score: "logit" }, undefined, signal);
}

/** Open an image in another tab, with the model of the run. */
export function openSample(run: RunInfo, image: string, tab: "explain" | "trust" = "explain"): void {
  const model = run.served_model ?? view.model.peek();
  const same = model === view.model.peek();
  setView({ tab, image, model, target: "", layer: same ? view.layer.peek() : "" }, true);
}

export function SampleLinks({ run, image, name }: { run: RunInfo; image: string; name: string }) {
  return (
    <>
      <button aria-label={`Explain ${name}`} onClick={() => openSample(run, image)}>
        Explain
      </button>
      <button aria-label={`Test the map of ${name}`} onClick={() => openSample(run, image, "trust")}>
        Trust
      </button>
    </>
  );
}
