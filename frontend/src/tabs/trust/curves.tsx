// What happens when pixels are inserted, or removed, in the order of the map; drawn while it is computed.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { decodeImage } from "../../api/images";
import type { Schemas } from "../../api/types";
import { bytes } from "../../maps/packed";
import { fixed, percent, portion } from "../../numbers";
import { Slider } from "../../shared/controls";
import { photoPixels } from "../../shared/photo";
import { Plot } from "../../shared/plot";
import { type Subject, TestControl, useTest } from "./subject";

/** Points of all six curves. */
const N_RUNS = 174;
export type CurveKind = Schemas["CurveLine"]["kind"];
const KINDS: Record<CurveKind, { title: string; done: string; help: string }> = {
  insertion: {
    title: "Insertion",
    done: "inserted",
    help: "Pixels are inserted into a blurred image in descending order of the map. A good map restores the class early: the area is large.",
  },
  deletion: {
    title: "Deletion",
    done: "removed",
    help: "Pixels are blurred in the same order. With a good map the probability drops early: the area is small.",
  },
};
const NAMES = Object.keys(KINDS) as CurveKind[];
/** The orders of removal, as they are drawn and called. */
const ORDERS = { map: "this map", centre: "centre first", random: "random order" };
type Order = keyof typeof ORDERS;
const ORDER_NAMES = Object.keys(ORDERS) as Order[];

/** What has arrived of the curves of one kind, by order. */
type CurveSet = Readonly<Partial<Record<Order, { values: readonly number[]; area: number | null }>>>;

function withLine(curves: CurveSet, { of, start, values: arrived, area }: Schemas["CurveLine"]): CurveSet {
  const before = curves[of as Order];
  const values = [...(before?.values ?? [])];
  arrived.forEach((value, i) => (values[start + i] = value));
  return { ...curves, [of]: { values, area: area ?? before?.area ?? null } };
}

interface Steps {
  n: number;
  input: ImageData;
  infill: ImageData;
  /** The step at which each pixel is inserted or removed. */
  first: Uint8Array;
}

export function Curves({ subject }: { subject: Subject }) {
  const { slow, answer } = subject;
  const seconds = (slow ? answer.seconds : 0) + (answer.seconds * N_RUNS) / (slow ? 500 : 1.6);
  const [steps, setSteps] = useState<Steps | null>(null);
  const [curves, setCurves] = useState<Record<CurveKind, CurveSet>>({ insertion: {}, deletion: {} });
  const [at, setAt] = useState(7);
  const addLine = (line: Schemas["CurveLine"]): void => setCurves((now) => ({ ...now, [line.kind]: withLine(now[line.kind], line) }));
  const addSteps = async ({ network_input, infill: infilled, n_steps: n, order }: Schemas["CurveSteps"]): Promise<void> => {
    const [input, infill] = (await Promise.all([network_input, infilled].map(decodeImage))).map((image) => photoPixels(image));
    setSteps((now) => now ?? { n, input: input!, infill: infill!, first: bytes(order.first) });
  };
  const test = useTest<Schemas["CurvesResponse"]>("/api/curves", subject, seconds, (name, content) => {
    if (name === "steps") void addSteps(content as Schemas["CurveSteps"]);
    if (name === "points") addLine(content as Schemas["CurveLine"]);
  });
  useEffect(() => {
    if (!test.data) return;
    void addSteps(test.data.steps);
    test.data.lines.forEach(addLine);
  }, [test.data]);
  const done = test.data !== null && steps !== null && curves.deletion.map?.area != null;
  const areaOf = (kind: CurveKind): string | undefined => (done ? String(curves[kind].map?.area) : undefined);
  return (
    <div class="curves" data-insertion={areaOf("insertion")} data-deletion={areaOf("deletion")}>
      <TestControl
        test={test}
        doing="Computing the curves"
        button="Compute the curves"
        what={`Insertion and deletion curves, with ${N_RUNS} runs of the network`}
      />
      {steps && (
        <>
          <p class="outcome" aria-live="polite">
            {done && `Areas under the curves: ${NAMES.map((kind) => curveText(kind, curves[kind])).join("; ")}.`}
          </p>
          <div class="plots">
            {NAMES.map((kind) => <CurveCard key={kind} kind={kind} curves={curves[kind]} steps={steps.n} at={at} change={setAt} />)}
          </div>
          <section class="card">
            <h3>Input at this step</h3>
            <Slider
              label="Fraction of the pixels that are removed or inserted"
              max={steps.n}
              step={1}
              value={at}
              text={(step) => portion(step / steps.n)}
              change={setAt}
            />
            <div class="stills">
              {NAMES.map((kind) => {
                const value = curves[kind].map?.values[at];
                const chance = value === undefined ? "…" : percent(value);
                const text = `${portion(at / steps.n)} ${KINDS[kind].done}: ${subject.map.target} ${chance}`;
                return <Input key={kind} kind={kind} steps={steps} at={at} text={text} />;
              })}
            </div>
            <p class="note">Move along a curve or the slider to see the input at that step.</p>
          </section>
        </>
      )}
    </div>
  );
}

interface CardProps {
  kind: CurveKind;
  curves: CurveSet;
  steps: number;
  /** The marked step. */
  at: number;
  change: (step: number) => void;
}

/** A plot that grows while its points arrive. */
function CurveCard({ kind, curves, steps, at, change }: CardProps) {
  const { title, done, help } = KINDS[kind];
  const here = curves.map?.values[at];
  const areaText = (of: Order, missing = "…"): string => (curves[of]?.area == null ? missing : fixed(curves[of].area, 3));
  const axis = { range: [0, 1] as const, ticks: [0, 0.5, 1], text: (part: number) => `${100 * part} %` };
  const areas = ORDER_NAMES.map((of) => `${ORDERS[of]} ${areaText(of, "not yet")}`).join(", ");
  return (
    <section class="card">
      <h3>
        {title}
        <span class="answer">{areaText("map")}</span>
      </h3>
      <Plot
        wide
        label={`Probability of the class against the fraction of pixels ${done}. Areas: ${areas}`}
        lines={[...ORDER_NAMES].reverse().map((of) => ({
          name: of,
          kind: of,
          points: (curves[of]?.values ?? []).map((value, i) => [i / steps, value] as const),
          filled: of === "map",
        }))}
        x={{ ...axis, label: `fraction of pixels ${done}` }}
        y={{ ...axis, label: "" }}
        cursor={here === undefined ? undefined : [at / steps, here]}
        point={(fraction) => change(Math.round(fraction * steps))}
      />
      <ul class="legend">
        {ORDER_NAMES.map((of) => (
          <li key={of}>
            <svg class="key" viewBox="0 0 26 8" aria-hidden="true"><line class={`line ${of}`} x1={1} x2={25} y1={4} y2={4} /></svg>
            <span>{ORDERS[of]}</span>
            <b>{areaText(of)}</b>
          </li>
        ))}
      </ul>
      <p class="note">{help}</p>
    </section>
  );
}

/** "insertion 0.812: better than both baselines". */
export function curveText(kind: CurveKind, curves: CurveSet): string {
  const own = curves.map?.area ?? 0;
  const others = [curves.centre, curves.random].map((curve) => curve?.area ?? 0);
  const beaten = others.filter((other) => (kind === "insertion" ? own > other : own < other)).length;
  const text = ["not better than either baseline", "better than one baseline", "better than both baselines"][beaten];
  return `${kind} ${fixed(own, 3)}: ${text}`;
}

/** The network input at a step: pixels whose turn has come are infilled or, for insertion, the only ones that are not. */
function Input({ kind, steps, at, text }: { kind: CurveKind; steps: Steps; at: number; text: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { input, infill, first } = steps;
  const { width, height } = input;
  useLayoutEffect(() => {
    const pixels = new Uint32Array(input.data.slice().buffer);
    const infilled = new Uint32Array(infill.data.buffer);
    for (let i = 0; i < first.length; i++) if (first[i]! <= at !== (kind === "insertion")) pixels[i] = infilled[i]!;
    canvas.current!.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  }, [steps, at]);
  return (
    <figure>
      <canvas ref={canvas} role="img" aria-label={text} width={width} height={height} class={Math.max(width, height) <= 96 ? "tiny" : ""} />
      <figcaption>{text}</figcaption>
    </figure>
  );
}
