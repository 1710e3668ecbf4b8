// What happens when pixels are inserted, or removed, in the order of the map; drawn while it is computed.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { decodeImage } from "../../api/images";
import { bytes } from "../../maps/packed";
import { percent, portion } from "../../numbers";
import { Slider } from "../../shared/controls";
import { photoPixels } from "../../shared/photo";
import { type CurveKind, CurvePlot, type CurveSet, curveText, withLine } from "./curve_plot";
import type { CurveLine, CurvesResponse, CurveSteps, Subject } from "./schemas";
import { TestControl, useTest } from "./use_test";

/** Points of all six curves. */
const N_RUNS = 174;
const KINDS: readonly CurveKind[] = ["insertion", "deletion"];
const HELP: Record<CurveKind, string> = {
  insertion:
    "Pixels are inserted into a blurred image in descending order of the map. A good map restores the class early: the area is large.",
  deletion: "Pixels are blurred in the same order. With a good map the probability drops early: the area is small.",
};

interface Steps {
  n: number;
  input: ImageData;
  infill: ImageData;
  /** The step at which each pixel is inserted or removed. */
  first: Uint8Array;
}

interface Arrived {
  key: string;
  steps: Steps | null;
  curves: Record<CurveKind, CurveSet>;
}

const nothing = (key: string): Arrived => ({ key, steps: null, curves: { insertion: {}, deletion: {} } });

export function Curves({ subject }: { subject: Subject }) {
  const { slow, answer, key } = subject;
  const seconds = (slow ? answer.seconds : 0) + (answer.seconds * N_RUNS) / (slow ? 500 : 1.6);
  const [state, setState] = useState(nothing(key));
  const [at, setAt] = useState(7);
  const arrived = state.key === key ? state : nothing(key);
  const change = (update: (now: Arrived) => Arrived): void => setState((now) => update(now.key === key ? now : nothing(key)));
  const addLine = (line: CurveLine): void =>
    change((now) => ({ ...now, curves: { ...now.curves, [line.kind]: withLine(now.curves[line.kind as CurveKind], line) } }));
  const addSteps = async (raw: CurveSteps): Promise<void> => {
    const [input, infill] = await Promise.all([decodeImage(raw.network_input), decodeImage(raw.infill)]);
    const steps = { n: raw.n_steps, input: photoPixels(input), infill: photoPixels(infill), first: bytes(raw.order.first) };
    change((now) => (now.steps ? now : { ...now, steps }));
  };
  const test = useTest<CurvesResponse>("/api/curves", subject, seconds, (name, content) => {
    if (name === "steps") void addSteps(content as CurveSteps);
    if (name === "points") addLine(content as CurveLine);
  });
  const { result } = test;
  useEffect(() => {
    if (!result) return;
    void addSteps(result.steps);
    result.lines.forEach(addLine);
  }, [result]);

  const { steps, curves } = arrived;
  const done = result !== null && steps !== null && curves.deletion.map?.area != null;
  const n = steps?.n ?? 28;
  return (
    <div
      class="curves"
      data-insertion={done ? String(curves.insertion.map?.area) : undefined}
      data-deletion={done ? String(curves.deletion.map?.area) : undefined}
    >
      <TestControl
        test={test}
        doing="Computing the curves"
        button="Compute the curves"
        what={`Insertion and deletion curves, with ${N_RUNS} runs of the network`}
        seconds={seconds}
      />
      {steps && (
        <>
          <p class="outcome" aria-live="polite">
            {done && `Areas under the curves: ${KINDS.map((kind) => curveText(kind, curves[kind])).join("; ")}.`}
          </p>
          <div class="plots">
            {KINDS.map((kind) => (
              <CurvePlot key={kind} kind={kind} help={HELP[kind]} curves={curves[kind]} steps={n} at={at} change={setAt} />
            ))}
          </div>
          <section class="card">
            <h3>Input at this step</h3>
            <Slider
              label="Fraction of the pixels that are removed or inserted"
              max={n}
              step={1}
              value={at}
              text={(step) => portion(step / n)}
              change={setAt}
            />
            <div class="stills">
              {KINDS.map((kind) => (
                <Input
                  key={kind}
                  kind={kind}
                  steps={steps}
                  at={at}
                  value={curves[kind].map?.values[at]}
                  target={subject.map.target}
                />
              ))}
            </div>
            <p class="note">Move along a curve or the slider to see the input at that step.</p>
          </section>
        </>
      )}
    </div>
  );
}

function Input(props: { kind: CurveKind; steps: Steps; at: number; value: number | undefined; target: string }) {
  const { kind, steps, at, value, target } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = steps.input;
  useLayoutEffect(() => canvas.current!.getContext("2d")!.putImageData(inputAt(steps, at, kind), 0, 0), [steps, at]);
  const what = `${portion(at / steps.n)} ${kind === "insertion" ? "inserted" : "removed"}`;
  const words = `${what}: ${target} ${value === undefined ? "…" : percent(value)}`;
  return (
    <figure>
      <canvas ref={canvas} role="img" aria-label={words} width={width} height={height} class={Math.max(width, height) <= 96 ? "tiny" : ""} />
      <figcaption>{words}</figcaption>
    </figure>
  );
}

/** The network input at a step: pixels whose turn has come are infilled or, for insertion, the only ones that are not. */
function inputAt({ input, infill, first }: Steps, step: number, kind: CurveKind): ImageData {
  const made = new ImageData(input.width, input.height);
  for (let i = 0; i < first.length; i++) {
    const from = first[i]! <= step === (kind === "insertion") ? input : infill;
    for (let c = 0; c < 3; c++) made.data[4 * i + c] = from.data[4 * i + c]!;
    made.data[4 * i + 3] = 255;
  }
  return made;
}
