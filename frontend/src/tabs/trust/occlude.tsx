// Occlude a part of the image: probabilities and map change at once.

import { useMemo, useState } from "preact/hooks";
import { post } from "../../api/http";
import { decodeImage } from "../../api/images";
import { Field } from "../../maps/field";
import { validRegion } from "../../maps/landing";
import { percent, portion } from "../../numbers";
import { Select, Slider } from "../../shared/controls";
import { ErrorMessage } from "../../shared/error_message";
import { MapView } from "../../shared/map_view";
import { methodName } from "../../shared/method_names";
import { SegmentedControl } from "../../shared/segmented_control";
import { useCoalescedRequest } from "../../shared/use_request";
import { useRequest } from "../../shared/use_request";
import { say, sayError } from "../../state/app";
import { setTabValues, setView, tabValue } from "../../state/view";
import { BrushCanvas, useBrush } from "./brush";
import { changeText, ClassChanges, meaningOf, Outcome } from "./class_changes";
import type { OccludeResponse, Subject } from "./schemas";

const INFILLS = [
  { value: "blur", text: "blurred image" },
  { value: "grey", text: "grey" },
  { value: "mean", text: "mean colour of the rest" },
];
/** The fraction of the image that a verdict blurs as well. */
const HIGHLIGHTED = 0.2;

export function Occlude({ subject }: { subject: Subject }) {
  const { image, answer, field, map, request, slow } = subject;
  const region = useMemo(() => {
    const [width, height] = answer.geometry.original;
    const [left, top, right, bottom] = validRegion(answer.geometry);
    return [left / width, top / height, right / width, bottom / height] as [number, number, number, number];
  }, [answer]);
  const brush = useBrush(request.image, image, region);
  const [note, setNote] = useState("");
  const infill = INFILLS.some(({ value }) => value === tabValue("trust.infill")) ? tabValue("trust.infill") : "blur";
  const version = brush.version.value;
  const body = useMemo(
    () => ({ ...request, target: String(map.index ?? request.target ?? ""), mask: brush.mask.packed(), infill }),
    [subject, infill, version],
  );
  const fraction = brush.mask.share;
  // A slow map is computed when the brush is released; of an unmodified image, there is one already.
  const waits = slow && (brush.painting || fraction === 0);
  const { result, error, busy, retry } = useCoalescedRequest<typeof body, OccludeResponse>("/api/occlude", waits ? null : body, slow);
  const found = result?.asked.image === request.image && result.asked.target === body.target ? result.data : null;
  const preview = useRequest(found ? found.preview : null, () => decodeImage(found!.preview));
  const shown = found && preview.key === found.preview && preview.data ? { found, image: preview.data } : null;
  const newMap = useMemo(() => (shown ? Field.of(shown.found.map, shown.found.map.geometry) : field), [shown?.found, field]);
  const one = shown?.found.classes[0];

  const occludeHighlighted = (): void => {
    const next = highlightedCells(field, brush.mask.width, brush.mask.height);
    setNote(next ? "" : "The map highlights no region here.");
    if (next) brush.cover(next);
  };
  const keep = async (): Promise<void> => {
    try {
      const kept = await post<OccludeResponse>("/api/occlude", { ...body, keep: true });
      if (!kept.image) return;
      setView({ image: kept.image }, true);
      say("All tabs now use the occluded image. The Back button of the browser returns to the previous one.");
    } catch (failure) {
      sayError(failure);
    }
  };
  return (
    <div
      class="cover"
      aria-busy={busy || undefined}
      data-share={shown ? shown.found.fraction.toFixed(4) : undefined}
      data-after={one ? one.after.toFixed(6) : undefined}
    >
      <p class="lead">Paint over a region of the image. If the prediction does not change, the model does not need the region.</p>
      <Outcome text={note || outcomeOf(shown?.found ?? null, slow, map.method)} />
      <ErrorMessage error={error} retry={retry} />
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
            <button disabled={!brush.mask.canUndo} onClick={() => brush.undo()}>
              Undo
            </button>
            <button disabled={fraction === 0} onClick={() => brush.clear()}>
              Clear
            </button>
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
            <button class="main" onClick={occludeHighlighted}>
              Occlude the highlighted region
            </button>
            <button
              onClick={() => brush.fillBox(1)}
              onPointerEnter={() => brush.showBox(true)}
              onPointerLeave={() => brush.showBox(false)}
              onFocus={() => brush.showBox(true)}
              onBlur={() => brush.showBox(false)}
            >
              Occlude the box
            </button>
          </div>
        </section>
        <section class="card" aria-label="Result">
          <MapView
            kind="overlay"
            image={shown?.image ?? (slow ? image : null)}
            field={newMap}
            label="The new map"
            caption={one ? `New map for ${one.name}` : `The map for ${map.target}`}
          />
          {shown && <ClassChanges classes={shown.found.classes} target={shown.found.target} />}
          <button disabled={fraction === 0} onClick={() => void keep()}>
            Use the occluded image
          </button>
        </section>
      </div>
    </div>
  );
}

function outcomeOf(found: OccludeResponse | null, slow: boolean, method: string): string {
  if (!found) return slow ? `${methodName(method)} is slow: the map is computed when you release the brush.` : "";
  const one = found.classes[0]!;
  if (found.fraction === 0) return `${one.name} ${percent(one.before)}. Nothing is occluded yet.`;
  return `${changeText(one)}: ${meaningOf(one)} ${portion(found.fraction)} of the image is occluded.`;
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
