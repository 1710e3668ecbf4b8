// Occlude a part of the image: probabilities and map change at once.

import { useMemo, useState } from "preact/hooks";
import { post } from "../../api/http";
import type { Schemas } from "../../api/types";
import { Field } from "../../maps/field";
import { validRegion } from "../../maps/landing";
import { percent, portion } from "../../numbers";
import { Select, Slider } from "../../shared/controls";
import { MapView } from "../../shared/map_view";
import { methodName } from "../../shared/method_names";
import { Pending } from "../../shared/pending";
import { SegmentedControl } from "../../shared/segmented_control";
import { useCoalescedRequest } from "../../shared/use_request";
import { say, sayError } from "../../state/app";
import { setTabValues, setView, tabValue } from "../../state/view";
import { BrushCanvas, useBrush } from "./brush";
import { changeText, ClassChanges, Outcome, type Subject, useDecoded } from "./subject";

type Response = Schemas["OccludeResponse"];

const INFILLS = [
  { value: "blur", text: "blurred image" },
  { value: "grey", text: "grey" },
  { value: "mean", text: "mean colour of the rest" },
];
/** The fraction of the image that a verdict blurs as well. */
const HIGHLIGHTED = 0.2;

export function Occlude({ subject }: { subject: Subject }) {
  const { image, answer, field, map, request, slow } = subject;
  const [width, height] = answer.geometry.original;
  const [left, top, right, bottom] = validRegion(answer.geometry);
  const brush = useBrush(request.image, image, [left / width, top / height, right / width, bottom / height]);
  const [note, setNote] = useState("");
  const infill = INFILLS.find(({ value }) => value === tabValue("trust.infill"))?.value ?? "blur";
  const version = brush.version.value;
  const body = useMemo(
    () => ({ ...request, target: String(map.index ?? request.target ?? ""), mask: brush.mask.packed(), infill }),
    [subject, infill, version],
  );
  const fraction = brush.mask.share;
  // A slow map is computed when the brush is released; of an unmodified image, there is one already.
  const waits = slow && (brush.painting || fraction === 0);
  const coalesced = useCoalescedRequest<typeof body, Response>("/api/occlude", waits ? null : body, slow);
  const { found, images } = useDecoded(coalesced.result?.data ?? null, (one) => [one.preview]) ?? {};
  const newMap = useMemo(() => (found ? Field.of(found.map, found.map.geometry) : field), [found, field]);
  const one = found?.classes[0];
  const occludeHighlighted = (): void => {
    const next = highlightedCells(field, brush.mask.width, brush.mask.height);
    setNote(next ? "" : "The map highlights no region here.");
    if (next) brush.cover(next);
  };
  const keep = async (): Promise<void> => {
    try {
      const kept = await post<Response>("/api/occlude", { ...body, keep: true });
      if (!kept.image) return;
      setView({ image: kept.image }, true);
      say("All tabs now use the occluded image. The Back button of the browser returns to the previous one.");
    } catch (failure) {
      sayError(failure);
    }
  };
  const showBox = () => brush.showBox(true);
  const hideBox = () => brush.showBox(false);
  return (
    <div
      class="cover"
      aria-busy={coalesced.busy || undefined}
      data-share={found ? found.fraction.toFixed(4) : undefined}
      data-after={one ? one.after.toFixed(6) : undefined}
    >
      <p class="lead">Paint over a region of the image. If the prediction does not change, the model does not need the region.</p>
      <Outcome text={note || outcomeOf(found, slow, map.method)} />
      <Pending requests={[coalesced]} />
      <div class="canvases">
        <section class="card" aria-label="Paint">
          <div class="row">
            <SegmentedControl
              label="Tool"
              segments={[
                ["paint", "Paint"],
                ["erase", "Erase"],
              ]}
              value={brush.erasing.value ? "erase" : "paint"}
              change={(tool) => void (brush.erasing.value = tool === "erase")}
            />
            <button disabled={!brush.mask.canUndo} onClick={() => brush.undo()}>Undo</button>
            <button disabled={fraction === 0} onClick={() => brush.cover(new Uint8Array(brush.mask.marked.length))}>Clear</button>
          </div>
          <BrushCanvas brush={brush} />
          <Slider
            label="Brush size"
            min={0.01}
            max={0.2}
            step={0.005}
            value={brush.size.value}
            text={portion}
            change={(size) => void (brush.size.value = size)}
          />
          <Select
            label="Infill"
            value={infill}
            options={INFILLS}
            change={(value) => setTabValues({ "trust.infill": value === "blur" ? null : value })}
          />
          <div class="row">
            <button class="main" onClick={occludeHighlighted}>Occlude the highlighted region</button>
            <button onClick={() => brush.fillBox(1)} onPointerEnter={showBox} onPointerLeave={hideBox} onFocus={showBox} onBlur={hideBox}>
              Occlude the box
            </button>
          </div>
        </section>
        <section class="card" aria-label="Result">
          <MapView
            kind="overlay"
            image={images?.[0] ?? (slow ? image : null)}
            field={newMap}
            label="The new map"
            caption={one ? `New map for ${one.name}` : `The map for ${map.target}`}
          />
          {found && <ClassChanges classes={found.classes} target={found.target} />}
          <button disabled={fraction === 0} onClick={() => void keep()}>Use the occluded image</button>
        </section>
      </div>
    </div>
  );
}

/** What the change of the probability says about the occluded region. */
function outcomeOf(found: Response | undefined, slow: boolean, method: string): string {
  if (!found) return slow ? `${methodName(method)} is slow: the map is computed when you release the brush.` : "";
  const one = found.classes[0]!;
  const { name, before, after } = one;
  if (found.fraction === 0) return `${name} ${percent(before)}. Nothing is occluded yet.`;
  const left = after / Math.max(before, 1e-9);
  const meaning =
    after > before + 0.05
      ? "the model is more confident without the occluded region."
      : `the occluded region ${left < 0.5 ? "is important" : left < 0.9 ? "has some influence" : "has hardly any influence"}.`;
  return `${changeText(one)}: ${meaning} ${portion(found.fraction)} of the image is occluded.`;
}

/** The cells where the map is highest, and above its minimum: at most a fifth of the image. Null if there are none. */
function highlightedCells(field: Field, width: number, height: number): Uint8Array | null {
  const values = field.landed(width, height);
  const known = [...values.keys()].filter((i) => !Number.isNaN(values[i]!));
  const low = known.reduce((least, i) => Math.min(least, values[i]!), Infinity);
  const best = known.filter((i) => values[i]! > Math.max(low, 0)).sort((a, b) => values[b]! - values[a]!);
  const cells = new Uint8Array(values.length);
  for (const i of best.slice(0, Math.round(HIGHLIGHTED * known.length))) cells[i] = 1;
  return best.length ? cells : null;
}
