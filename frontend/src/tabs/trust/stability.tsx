// Perturb the image slightly: does the map follow?

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { post } from "../../api/http";
import { decodeImage } from "../../api/images";
import { Field } from "../../maps/field";
import { unpack } from "../../maps/packed";
import { fixed, percent, portion } from "../../numbers";
import { Slider } from "../../shared/controls";
import { ErrorMessage } from "../../shared/error_message";
import { MapView } from "../../shared/map_view";
import { LinePlot } from "../../shared/line_plot";
import { useCoalescedRequest } from "../../shared/use_request";
import { useRequest } from "../../shared/use_request";
import { setTabValues } from "../../state/view";
import { changeText, ClassChanges, Outcome } from "./class_changes";
import { type Dial, DIALS, type Values, valuesOfView } from "./perturbations";
import type { MapRequest, PerturbResponse, Subject } from "./schemas";

/** Points of the range of a dial that a sweep requests. */
const N_SWEEP = 15;

export function Stability({ subject }: { subject: Subject }) {
  const { request, key, slow } = subject;
  const values = valuesOfView();
  const [sweepAt, setSweepAt] = useState<Values | null>(null);
  const [moving, setMoving] = useState<Dial>(() => DIALS.find((dial) => values[dial.name] !== 0) ?? DIALS[0]!);
  const [swept, setSwept] = useState("");
  const trace = useRef({ key: "", points: new Map<number, number>() });
  const now = sweepAt ?? values;
  const coalesced = useCoalescedRequest<MapRequest & Values, PerturbResponse>("/api/perturb", { ...request, ...now }, slow);
  const plain = useRequest(key, async () => decodeImage((await post<PerturbResponse>("/api/perturb", request)).network_input));
  const { result } = coalesced;
  const found = result && sameSubject(result.asked, request) ? result : null;
  const input = useRequest(found ? found.data.network_input : null, () => decodeImage(found!.data.network_input));
  const ready = found && plain.data && plain.key === key && input.key === found.data.network_input && input.data ? found : null;
  // Until the images of the last result are decoded, the one before is displayed.
  const shown = useRef<{ key: string; found: NonNullable<typeof found>; image: HTMLImageElement } | null>(null);
  if (ready) shown.current = { key, found: ready, image: input.data! };
  const display = shown.current?.key === key ? shown.current : null;

  const traceKey = `${key} ${moving.name}`;
  if (trace.current.key !== traceKey) trace.current = { key: traceKey, points: new Map() };
  if (display && display.found.data.correlation !== null)
    trace.current.points.set(display.found.asked[moving.name] ?? 0, display.found.data.correlation);

  const sweep = useSweep(moving, values, setSweepAt, display?.found.asked ?? null, () => setSwept(moving.name));
  const move = (dial: Dial, value: number): void => {
    sweep.stop();
    setMoving(dial);
    setTabValues({ [`trust.${dial.name}`]: value === 0 ? null : String(value) });
  };
  const reset = (): void => {
    sweep.stop();
    setTabValues(Object.fromEntries(DIALS.map((dial) => [`trust.${dial.name}`, null])));
  };
  const { data } = display?.found ?? {};
  const asked = display?.found.asked;
  return (
    <div
      class="stability"
      aria-busy={coalesced.busy || undefined}
      data-correlation={data ? (data.correlation === null ? "none" : data.correlation.toFixed(6)) : undefined}
      data-at={asked ? DIALS.map((dial) => asked[dial.name]).join(" ") : undefined}
      data-swept={swept || undefined}
    >
      <p class="lead">Perturb the image slightly. A trustworthy map changes in the same way.</p>
      <Outcome text={data ? outcomeOf(data, isUnperturbed(asked!)) : ""} />
      <ErrorMessage error={coalesced.error ?? plain.error} retry={coalesced.error ? coalesced.retry : plain.retry} />
      <Views data={data ?? null} plain={plain.data} input={display?.image ?? null} unperturbed={!asked || isUnperturbed(asked)} />
      <div class="below">
        <section class="card dials" aria-label="Perturbations">
          {DIALS.map((dial) => (
            <Slider
              key={dial.name}
              label={dial.label}
              min={dial.min}
              max={dial.max}
              step={dial.step}
              value={now[dial.name]}
              text={dial.text}
              change={(value) => move(dial, value)}
            />
          ))}
          <div class="row">
            <button onClick={reset}>Reset</button>
            <button onClick={() => (sweep.running ? sweep.stop() : sweep.start())}>{sweep.running ? "Stop" : "Sweep"}</button>
          </div>
        </section>
        <section class="card">
          <h3>Stability</h3>
          <Trace dial={moving} points={trace.current.points} />
        </section>
        <section class="card">
          <h3>Classes</h3>
          {data && <ClassChanges classes={data.classes} target={data.target} />}
          <p class="note">If the probability of the class drops, a different map is to be expected.</p>
        </section>
      </div>
    </div>
  );
}

const sameSubject = (asked: MapRequest, { image, model, method, layer, target }: MapRequest): boolean =>
  asked.image === image && asked.model === model && asked.method === method && asked.layer === layer && asked.target === target;

const isUnperturbed = (values: Values): boolean => DIALS.every((dial) => values[dial.name] === 0);

/** Go through the range of a dial: the next point is set when the result of the last one is displayed. */
function useSweep(dial: Dial, values: Values, set: (at: Values | null) => void, displayed: Values | null, done: () => void) {
  const [step, setStep] = useState<number | null>(null);
  const at = (n: number): Values => {
    const value = dial.min + ((dial.max - dial.min) * n) / (N_SWEEP - 1);
    return { ...values, [dial.name]: Number((Math.round(value / dial.step) * dial.step).toFixed(4)) };
  };
  const stop = (): void => {
    setStep(null);
    set(null);
  };
  useEffect(() => {
    if (step === null || displayed?.[dial.name] !== at(step)[dial.name]) return;
    if (step + 1 < N_SWEEP) {
      setStep(step + 1);
      set(at(step + 1));
    } else {
      stop();
      done();
    }
  }, [step, displayed]);
  const start = (): void => {
    setStep(0);
    set(at(0));
  };
  return { running: step !== null, start, stop };
}

interface ViewsProps {
  data: PerturbResponse | null;
  plain: HTMLImageElement | null;
  input: HTMLImageElement | null;
  unperturbed: boolean;
}

function Views({ data, plain, input, unperturbed }: ViewsProps) {
  const fields = useMemo(() => data && { first: fieldOf(data.original_map), now: fieldOf(data.map), back: mappedBack(data) }, [data]);
  const one = data?.classes[0];
  const first = one ? `Unmodified: ${one.name} ${percent(one.before)}` : "Unmodified";
  const second = !one || unperturbed ? "Not perturbed yet" : `Perturbed: ${one.name} ${percent(one.after)}`;
  const third = "Its map, mapped back to the unmodified image";
  return (
    <div class="views">
      <MapView kind="overlay" image={fields ? plain : null} field={fields?.first ?? null} label={first} caption={first} />
      <MapView kind="overlay" image={fields ? input : null} field={fields?.now ?? null} label={second} caption={second} />
      <MapView kind="overlay" image={fields ? plain : null} field={fields?.back ?? null} label={third} caption={third} />
    </div>
  );
}

const fieldOf = (map: PerturbResponse["map"]): Field => Field.of(map, map.geometry);

/** Where the map is not known after mapping back, nothing is drawn. */
function mappedBack(data: PerturbResponse): Field {
  const [map, known] = unpack(data.mapped_back) as [Field["map"], Field["map"]];
  const values = map.values.map((value, i) => (known.values[i]! < 0.5 ? NaN : value));
  const { geometry, signed, percentile } = data.original_map;
  return new Field({ ...map, values }, geometry, false, signed, percentile);
}

function Trace({ dial, points }: { dial: Dial; points: ReadonlyMap<number, number> }) {
  if (points.size < 2)
    return <p class="note">Move a slider, or choose Sweep: the similarity to the first map is plotted here.</p>;
  const sorted = [...points].sort((a, b) => a[0] - b[0]);
  const low = Math.min(0, ...sorted.map(([, y]) => y)) < 0 ? -1 : 0;
  const text = sorted.map(([x, y]) => `${dial.text(x)} ${fixed(y)}`).join(", ");
  return (
    <div class="trace">
      <LinePlot
        lines={[
          { name: "stable", kind: "quiet", points: [[dial.min, 0.5], [dial.max, 0.5]] },
          { name: "correlation", kind: "first", points: sorted },
        ]}
        x={{ label: dial.label, range: [dial.min, dial.max] }}
        y={{ label: "rank correlation", range: [low, 1] }}
        label={`Rank correlation with the first map, by ${dial.label.toLowerCase()}: ${text}`}
      />
      <p class="note">1: all positions are ranked in the same order. Below the dashed line the map counts as unstable.</p>
    </div>
  );
}

function outcomeOf(data: PerturbResponse, unperturbed: boolean): string {
  if (unperturbed) return "Nothing is perturbed yet.";
  const change = changeText(data.classes[0]!);
  const { correlation } = data;
  if (correlation === null) return `The map is constant and cannot be compared. ${change}.`;
  const level = correlation >= 0.8 ? "stable" : correlation >= 0.5 ? "partly stable" : "unstable";
  return `The map is ${level}: rank correlation ${fixed(correlation)} over the ${portion(data.valid_fraction)} that both maps cover. ${change}.`;
}

