// The verdict on the map: what was tested, with the number first and how to read it behind a question mark.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Schemas } from "../../api/types";
import { outline } from "../../maps/painter";
import { Field } from "../../maps/field";
import { plainGeometry } from "../../maps/landing";
import { type Grid, unpack } from "../../maps/packed";
import { fixed, percent } from "../../numbers";
import { MapView } from "../../shared/map_view";
import { methodName } from "../../shared/method_names";
import { photoPixels, photoSize } from "../../shared/photo";
import { TextList } from "../../shared/table";
import { Amounts, Correlations, Fractions, Histogram } from "./figures";
import { type Subject, TestControl, useDecoded, useTest } from "./subject";

type Verdict = Schemas["Verdict"];

/** Runs of the network, approximately; a quick map costs one and a half, and thirteen more maps are made. */
const N_RUNS = 125;
const TESTS: readonly [title: string, what: string, cost: string][] = [
  ["Highlighted region", "Blurs the 20 % of the image with the highest map values.", "1 run"],
  ["Position test", "Compares the map with shifted, mirrored and rotated copies of itself.", "about 109 runs"],
  ["Border test", "Blurs the border and the middle of the image: does a watermark decide?", "2 runs"],
  ["Stability and class-specificity", "Compares the map with those of noisy and shifted copies, and of other classes.", "13 maps"],
  ["Confidence", "Reads whether the prediction is more than a guess.", "1 run"],
];

export function VerdictPart({ subject }: { subject: Subject }) {
  const { answer, slow } = subject;
  const test = useTest<Verdict>("/api/trust", subject, answer.seconds * (slow ? 14 : N_RUNS / 1.6));
  const { found, images } = useDecoded(test.data, (one) => [one.network_input, one.occluded_input]) ?? {};
  return (
    <div class="verdict" data-level={found?.level} data-p={found ? String(found.position_test?.p ?? "") : undefined}>
      <TestControl
        test={test}
        doing="Running the tests"
        button="Run tests"
        what={`Five tests of the map, with about ${N_RUNS} runs of the network`}
      />
      {found ? (
        <>
          <Banner found={found} subject={subject} />
          <div class="cards">
            {cardsOf(found, images![0]!, images![1]!).map((card) => card && <Card key={card.title} {...card} />)}
          </div>
          <ComparedMaps found={found} input={images![0]!} />
        </>
      ) : (
        <div class="cards planned">
          {TESTS.map(([title, what, cost]) => (
            <Card key={title} title={title} answer={cost}><p class="note">{what}</p></Card>
          ))}
        </div>
      )}
    </div>
  );
}

const KINDS: Record<Verdict["level"], [kind: string, plain: string]> = {
  supported: ["good", "The map passed all tests."],
  "weakly supported": ["care", "The tests support the map with reservations:"],
  "not supported": ["bad", "The reason:"],
  "cannot tell": ["unknown", "The reason:"],
};

/** "Not better than random placement, p = 0.31". */
function placementText({ position_test: found, thresholds }: Verdict): string {
  if (!found) return "The map is constant: its position cannot be tested.";
  const how = found.p <= thresholds.max_p ? "Better" : found.p <= thresholds.reject_p ? "Hardly better" : "Not better";
  return `${how} than random placement, p = ${found.p_text}.`;
}

function Banner({ found, subject }: { found: Verdict; subject: Subject }) {
  const [kind, plain] = KINDS[found.level];
  const { method, layer } = subject.map;
  const certainty = found.predicted === found.target ? `, ${percent(found.probability)}` : "";
  return (
    <section class={`banner ${kind}`} role="status">
      <span class="sign" aria-hidden="true" />
      <div>
        <h2>{found.level === "cannot tell" ? "The tests cannot tell" : `The map is ${found.level}`}</h2>
        <p><b>{placementText(found)}</b></p>
        <p>{plain}</p>
        {found.reasons.length > 0 && <TextList texts={found.reasons.map((reason) => `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`)} />}
        <p class="soft">
          {`Tested: the map for ${found.target} · ${methodName(method)} · ${layer}. The prediction (${found.predicted}${certainty}) `}
          is not judged: whether it is correct, no test of a map can tell.
        </p>
      </div>
    </section>
  );
}

interface CardProps {
  title: string;
  answer?: string | undefined;
  help?: string;
  wide?: boolean;
  children: ComponentChildren;
}

/** The number first; how to read it is behind the question mark. */
function Card({ title, answer, help, wide, children }: CardProps) {
  return (
    <section class={`card ${wide ? "wide" : ""}`}>
      <h3>
        {title}
        {answer && <span class="answer">{answer}</span>}
      </h3>
      {children}
      {help && (
        <details class="help">
          <summary aria-label={`How to read: ${title}`}>?</summary>
          <p class="note">{help}</p>
        </details>
      )}
    </section>
  );
}

function cardsOf(found: Verdict, input: HTMLImageElement, blurred: HTMLImageElement): (CardProps | null)[] {
  const { position_test: position, border_test: border, min_correlation: lowest, thresholds } = found;
  const { probability, margin, perplexity, classes, guessing } = found.confidence;
  const n = position?.statistics.length ?? 0;
  const as = Math.round((position?.p ?? 0) * n) - 1;
  const copies = ["no copy has", "one copy has"][as] ?? `${as} copies have`;
  const known = (list: Verdict["noise"]): number[] => list.flatMap((one) => one.correlation ?? []);
  const rows = [
    { name: "noisy copies", values: known(found.noise), kind: "copy" as const },
    { name: "shifted copies", values: known(found.shifts), kind: "copy" as const },
    { name: "other classes", values: known(found.classes), kind: "class" as const },
  ];
  const [region, test, edge, similarity, confidence] = TESTS.map(([title]) => title) as [string, string, string, string, string];
  return [
    position && {
      title: region,
      answer: `${fixed(-position.drop)} nats`,
      wide: true,
      help:
        "The network input. Left: the 20 % with the highest map values, outlined. Right: the input with that region blurred, and " +
        "the change of the log-probability of the class.",
      children: (
        <div class="pair">
          <Still image={input} label="The network input, with the highlighted region outlined" region={unpack(position.highlighted)[0]!} />
          <Still image={blurred} label="The input with that region blurred" />
        </div>
      ),
    },
    position && {
      title: test,
      answer: `p = ${position.p_text}`,
      help:
        `How much the class depends on the positions where the map is high (line), compared with ${n - 1} shifted, mirrored and ` +
        `rotated copies of the map (grey): ${copies} a value as large. When the highlighted region is blurred, the log-probability ` +
        `drops by ${fixed(position.drop)} nats, for discs of the same area by ${fixed(position.mean_drop_elsewhere)} nats on average.`,
      children: (
        <Histogram
          values={position.statistics}
          label={`Mean importance of the positions where the map is high: ${fixed(position.statistics[0]!)} standard deviations; p = ${position.p_text}`}
        />
      ),
    },
    {
      title: edge,
      answer: border.decides ? "the border decides" : "passed",
      help:
        "Drop in the log-probability, in nats. If the drop for the border is larger, look for a watermark or a caption. " +
        `${percent(border.map_fraction)} of the map lies in the border.`,
      children: (
        <Amounts
          rows={[
            { name: "border of the image blurred", value: border.border, kind: border.decides ? "warned" : "others" },
            { name: "middle of the image blurred", value: border.middle, kind: "others" },
          ]}
          label={`Drop in the log-probability: ${fixed(border.border)} nats with the border blurred, ${fixed(border.middle)} nats with the middle blurred`}
        />
      ),
    },
    rows.some((row) => row.values.length)
      ? {
          title: similarity,
          answer: lowest === null ? undefined : `ρ ≥ ${fixed(lowest)}`,
          help:
            "Rank correlation of the map with other maps. Perturbed copies of the image (dots) should yield nearly the same map, " +
            `above ${thresholds.min_stability}; maps of other classes (squares) should be less similar than those of the copies ` +
            "(shaded band), except for classes that resemble this one.",
          children: (
            <Correlations
              rows={rows}
              band={lowest}
              label={rows.map((row) => `${row.name}: ${row.values.map((value) => fixed(value)).join(", ")}`).join("; ")}
            />
          ),
        }
      : null,
    {
      title: confidence,
      answer: guessing ? "counts as a guess" : percent(probability),
      help:
        `The probabilities of the predicted and of the second class. The perplexity is ${perplexity.toFixed(1)} of ${classes} ` +
        "classes. The map of a guess is not meaningful.",
      children: (
        <Fractions
          value={probability}
          mark={probability - margin}
          label={`${percent(probability)}, ${percent(margin)} more than the second class`}
        />
      ),
    },
  ];
}

const STILL_PX = 320;

const onInput = (grid: Grid, input: HTMLImageElement, relu: boolean): Field =>
  new Field(grid, plainGeometry(input.naturalWidth, input.naturalHeight), relu, false, 100);

/** What the network was given; with a line around a region. */
function Still({ image, label, region }: { image: HTMLImageElement; label: string; region?: Grid }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, height] = photoSize(image, STILL_PX);
  useLayoutEffect(() => {
    const pixels = photoPixels(image, width, height);
    if (region) outline(pixels, Uint8Array.from(onInput(region, image, false).landed(width, height), (value) => Number(value >= 0.5)));
    canvas.current!.getContext("2d")!.putImageData(pixels, 0, 0);
  }, [image]);
  return <canvas ref={canvas} role="img" aria-label={label} width={width} height={height} />;
}

const CLASS_KINDS = ["second class", "random class", "random class"];

/** The maps that the tested map was compared with: one or two of each kind. */
function ComparedMaps({ found, input }: { found: Verdict; input: HTMLImageElement }) {
  const { classes, noise, shifts, maps } = found;
  const fields = useMemo(() => (maps ? unpack(maps).map((grid) => onInput(grid, input, true)) : []), [found, input]);
  const compared = [
    ...classes.slice(0, 3).map((one, i) => ({ ...one, text: `${one.name}, ${CLASS_KINDS[i]}`, field: fields[i] })),
    ...noise.slice(0, 1).map((one) => ({ ...one, text: "with noise", field: fields[classes.length] })),
    ...shifts.slice(0, 1).map((one) => ({ ...one, text: "shifted", field: fields[classes.length + noise.length] })),
  ];
  if (!maps || !compared.length) return null;
  return (
    <section class="card compared">
      <h3>Compared maps</h3>
      <p class="note">With their rank correlation: 1 if the maps rank all positions in the same order, 0 if the orders are unrelated.</p>
      <div class="small">
        {compared.map(({ text, correlation, field }, i) => {
          const caption = `${text}: ${correlation === null ? "no map" : fixed(correlation)}`;
          return <MapView key={i} kind="overlay" side={224} image={input} field={field ?? null} label={caption} caption={caption} />;
        })}
      </div>
    </section>
  );
}
