// Perturb the image slightly: does the map follow?

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { post } from "../../api/http";
import { decodeImage } from "../../api/images";
import type { Schemas } from "../../api/types";
import { Field } from "../../maps/field";
import { unpack } from "../../maps/packed";
import { fixed, percent, portion } from "../../numbers";
import { Slider } from "../../shared/controls";
import { MapView } from "../../shared/map_view";
import { Pending } from "../../shared/pending";
import { Plot } from "../../shared/plot";
import { useCoalescedRequest, useRequest } from "../../shared/use_request";
import { setTabValues, tabValue } from "../../state/view";
import { changeText, ClassChanges, type MapRequest, Outcome, type Subject, useDecoded } from "./subject";

type Response = Schemas["PerturbResponse"];
type Name = "angle" | "noise" | "across" | "down" | "blur" | "light";
type Values = Record<Name, number>;

/** A perturbation; its value stands in the address. */
interface Dial {
  name: Name;
  label: string;
  min: number;
  max: number;
  step: number;
  text: (value: number) => string;
}

const signedText = (value: number, unit: string): string => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)}${unit}`;
const shift = (value: number): string => signedText(Math.round(100 * value), " %");
const tenths = (value: number): string => `${(100 * value).toFixed(1)} %`;

const DIALS: readonly Dial[] = [
  { name: "angle", label: "Rotation", min: -45, max: 45, step: 1, text: (value) => signedText(value, "°") },
  { name: "noise", label: "Noise", min: 0, max: 0.3, step: 0.005, text: tenths },
  { name: "across", label: "Shift right", min: -0.25, max: 0.25, step: 0.01, text: shift },
  { name: "down", label: "Shift down", min: -0.25, max: 0.25, step: 0.01, text: shift },
  { name: "blur", label: "Blur", min: 0, max: 0.06, step: 0.001, text: tenths },
  { name: "light", label: "Brightness", min: -0.4, max: 0.4, step: 0.01, text: shift },
];
/** Points of the range of a dial that a sweep requests. */
const N_SWEEP = 15;

/** The value of a dial at a point of its range. */
const sweepValue = ({ min, max, step }: Dial, n: number): number =>
  Number((Math.round((min + ((max - min) * n) / (N_SWEEP - 1)) / step) * step).toFixed(4));

/** From the address; a value that no slider has is 0. */
function valuesOfView(): Values {
  const entries = DIALS.map(({ name, min, max }) => {
    const value = Number(tabValue(`trust.${name}`) || 0);
    return [name, Number.isFinite(value) ? Math.min(max, Math.max(min, value)) : 0];
  });
  return Object.fromEntries(entries) as Values;
}

export function Stability({ subject }: { subject: Subject }) {
  const { request, key, slow } = subject;
  const values = valuesOfView();
  /** The point of the range of the moved dial that a sweep has come to; the next one follows when its result is displayed. */
  const [step, setStep] = useState<number | null>(null);
  const [moving, setMoving] = useState<Dial>(() => DIALS.find((dial) => values[dial.name] !== 0) ?? DIALS[0]!);
  const [swept, setSwept] = useState("");
  /** The similarity by the values of the dial that is moved. */
  const trace = useRef({ name: moving.name, points: new Map<number, number>() });
  const now = step === null ? values : { ...values, [moving.name]: sweepValue(moving, step) };
  const coalesced = useCoalescedRequest<MapRequest & Values, Response>("/api/perturb", { ...request, ...now }, slow);
  const plain = useRequest(key, async () => decodeImage((await post<Response>("/api/perturb", request)).network_input));
  const decoded = useDecoded(coalesced.result, ({ data }) => [data.network_input]);
  const { data, asked } = (plain.data && decoded?.found) || {};
  const unperturbed = !asked || DIALS.every((dial) => asked[dial.name] === 0);
  if (trace.current.name !== moving.name) trace.current = { name: moving.name, points: new Map() };
  if (asked && data!.correlation !== null) trace.current.points.set(asked[moving.name], data!.correlation);

  useEffect(() => {
    if (step === null || asked?.[moving.name] !== now[moving.name]) return;
    const last = step + 1 === N_SWEEP;
    setStep(last ? null : step + 1);
    if (last) setSwept(moving.name);
  }, [step, asked]);
  const move = (dial: Dial, value: number): void => {
    setStep(null);
    setMoving(dial);
    setTabValues({ [`trust.${dial.name}`]: value === 0 ? null : String(value) });
  };
  const reset = (): void => {
    setStep(null);
    setTabValues(Object.fromEntries(DIALS.map((dial) => [`trust.${dial.name}`, null])));
  };
  return (
    <div
      class="stability"
      aria-busy={coalesced.busy || undefined}
      data-correlation={data && (data.correlation === null ? "none" : data.correlation.toFixed(6))}
      data-at={asked && DIALS.map((dial) => asked[dial.name]).join(" ")}
      data-swept={swept || undefined}
    >
      <p class="lead">Perturb the image slightly. A trustworthy map changes in the same way.</p>
      <Outcome text={data ? outcomeOf(data, unperturbed) : ""} />
      <Pending requests={[coalesced, plain]} />
      <Views data={data} plain={plain.data} input={decoded?.images[0]} unperturbed={unperturbed} />
      <div class="below">
        <section class="card dials" aria-label="Perturbations">
          {DIALS.map(({ name, ...dial }) => (
            <Slider key={name} {...dial} value={now[name]} change={(value) => move({ name, ...dial }, value)} />
          ))}
          <div class="row">
            <button onClick={reset}>Reset</button>
            <button onClick={() => setStep(step === null ? 0 : null)}>{step === null ? "Sweep" : "Stop"}</button>
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

interface ViewsProps {
  data: Response | undefined;
  plain: HTMLImageElement | null;
  input: HTMLImageElement | undefined;
  unperturbed: boolean;
}

function Views({ data, plain, input, unperturbed }: ViewsProps) {
  const fields = useMemo(() => {
    const fieldOf = (map: Response["map"]): Field => Field.of(map, map.geometry);
    return data && [fieldOf(data.original_map), fieldOf(data.map), mappedBack(data)];
  }, [data]);
  const one = data?.classes[0];
  const captions = [
    one ? `Unmodified: ${one.name} ${percent(one.before)}` : "Unmodified",
    !one || unperturbed ? "Not perturbed yet" : `Perturbed: ${one.name} ${percent(one.after)}`,
    "Its map, mapped back to the unmodified image",
  ];
  return (
    <div class="views">
      {captions.map((text, i) => (
        <MapView
          key={i}
          kind="overlay"
          image={fields ? ((i === 1 ? input : plain) ?? null) : null}
          field={fields?.[i] ?? null}
          label={text}
          caption={text}
        />
      ))}
    </div>
  );
}

/** Where the map is not known after mapping back, nothing is drawn. */
function mappedBack(data: Response): Field {
  const [map, known] = unpack(data.mapped_back) as [Field["map"], Field["map"]];
  const values = map.values.map((value, i) => (known.values[i]! < 0.5 ? NaN : value));
  const { geometry, signed, percentile } = data.original_map;
  return new Field({ ...map, values }, geometry, false, signed, percentile);
}

function Trace({ dial, points }: { dial: Dial; points: ReadonlyMap<number, number> }) {
  if (points.size < 2) return <p class="note">Move a slider, or choose Sweep: the similarity to the first map is plotted here.</p>;
  const sorted = [...points].sort((a, b) => a[0] - b[0]);
  const low = sorted.some(([, y]) => y < 0) ? -1 : 0;
  const text = sorted.map(([x, y]) => `${dial.text(x)} ${fixed(y)}`).join(", ");
  return (
    <div class="trace">
      <Plot
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

function outcomeOf({ classes, correlation, valid_fraction }: Response, unperturbed: boolean): string {
  if (unperturbed) return "Nothing is perturbed yet.";
  const change = changeText(classes[0]!);
  if (correlation === null) return `The map is constant and cannot be compared. ${change}.`;
  const level = correlation >= 0.8 ? "stable" : correlation >= 0.5 ? "partly stable" : "unstable";
  return `The map is ${level}: rank correlation ${fixed(correlation)} over the ${portion(valid_fraction)} that both maps cover. ${change}.`;
}
