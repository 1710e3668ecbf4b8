// The tests of a verdict as cards: what will be tested, then the number with its plot and how to read it.

import type { ComponentChildren } from "preact";
import { fixed, percent } from "../../numbers";
import { Amounts, Correlations, Fractions, Histogram } from "./figures";
import { InputWithRegion, Still } from "./stills";
import type { Verdict } from "./schemas";

const TESTS: readonly [title: string, what: string, cost: string][] = [
  ["Highlighted region", "Blurs the 20 % of the image with the highest map values.", "1 run"],
  ["Position test", "Compares the map with shifted, mirrored and rotated copies of itself.", "about 109 runs"],
  ["Border test", "Blurs the border and the middle of the image: does a watermark decide?", "2 runs"],
  ["Stability and class-specificity", "Compares the map with those of noisy and shifted copies, and of other classes.", "13 maps"],
  ["Confidence", "Reads whether the prediction is more than a guess.", "1 run"],
];

/** The tests before they have run. */
export function PlannedCards() {
  return (
    <div class="cards planned">
      {TESTS.map(([title, what, cost]) => (
        <section class="card" key={title}>
          <h3>
            {title}
            <span class="answer">{cost}</span>
          </h3>
          <p class="note">{what}</p>
        </section>
      ))}
    </div>
  );
}

export function Cards({ found, input, blurred }: { found: Verdict; input: HTMLImageElement; blurred: HTMLImageElement }) {
  return (
    <div class="cards">
      {found.position_test && <Region found={found} input={input} blurred={blurred} />}
      {found.position_test && <Position test={found.position_test} />}
      <Border test={found.border_test} />
      <Similarity found={found} />
      <ConfidenceCard confidence={found.confidence} />
    </div>
  );
}

/** The number first; how to read it is behind the question mark. */
function Card(props: { title: string; answer?: string; help: string; wide?: boolean; children: ComponentChildren }) {
  const { title, answer, help, wide, children } = props;
  return (
    <section class={`card ${wide ? "wide" : ""}`}>
      <h3>
        {title}
        {answer && <span class="answer">{answer}</span>}
      </h3>
      {children}
      <details class="help">
        <summary aria-label={`How to read: ${title}`}>?</summary>
        <p class="note">{help}</p>
      </details>
    </section>
  );
}

function Region({ found, input, blurred }: { found: Verdict; input: HTMLImageElement; blurred: HTMLImageElement }) {
  const { drop } = found.position_test!;
  return (
    <Card
      title="Highlighted region"
      answer={`${fixed(-drop)} nats`}
      wide
      help="The network input. Left: the 20 % with the highest map values, outlined. Right: the input with that region blurred, and the change of the log-probability of the class."
    >
      <div class="pair">
        <InputWithRegion image={input} found={found} />
        <Still image={blurred} label="The input with that region blurred" />
      </div>
    </Card>
  );
}

function Position({ test }: { test: NonNullable<Verdict["position_test"]> }) {
  const count = test.statistics.length;
  const as = Math.round(test.p * count);
  const copies = ["no copy has", "one copy has"][as - 1] ?? `${as - 1} copies have`;
  return (
    <Card
      title="Position test"
      answer={`p = ${test.p_text}`}
      help={
        `How much the class depends on the positions where the map is high (line), compared with ${count - 1} shifted, ` +
        `mirrored and rotated copies of the map (grey): ${copies} a value as large. When the highlighted region is blurred, ` +
        `the log-probability drops by ${fixed(test.drop)} nats, for discs of the same area by ` +
        `${fixed(test.mean_drop_elsewhere)} nats on average.`
      }
    >
      <Histogram
        values={test.statistics}
        label={`Mean importance of the positions where the map is high: ${fixed(test.statistics[0]!)} standard deviations; p = ${test.p_text}`}
      />
    </Card>
  );
}

function Border({ test }: { test: Verdict["border_test"] }) {
  return (
    <Card
      title="Border test"
      answer={test.decides ? "the border decides" : "passed"}
      help={
        "Drop in the log-probability, in nats. If the drop for the border is larger, look for a watermark or a caption. " +
        `${percent(test.map_fraction)} of the map lies in the border.`
      }
    >
      <Amounts
        rows={[
          { name: "border of the image blurred", value: test.border, kind: test.decides ? "warned" : "others" },
          { name: "middle of the image blurred", value: test.middle, kind: "others" },
        ]}
        label={`Drop in the log-probability: ${fixed(test.border)} nats with the border blurred, ${fixed(test.middle)} nats with the middle blurred`}
      />
    </Card>
  );
}

function Similarity({ found }: { found: Verdict }) {
  const rows = [
    { name: "noisy copies", values: known(found.noise), kind: "copy" },
    { name: "shifted copies", values: known(found.shifts), kind: "copy" },
    { name: "other classes", values: known(found.classes), kind: "class" },
  ];
  if (!rows.some((row) => row.values.length)) return null;
  const lowest = found.min_correlation;
  return (
    <Card
      title="Stability and class-specificity"
      answer={lowest === null ? undefined : `ρ ≥ ${fixed(lowest)}`}
      help={
        "Rank correlation of the map with other maps. Perturbed copies of the image (dots) should yield nearly the same map, above " +
        `${found.thresholds.min_stability}; maps of other classes (squares) should be less similar than those of the copies ` +
        "(shaded band), except for classes that resemble this one."
      }
    >
      <Correlations
        rows={rows}
        band={lowest}
        label={rows.map((row) => `${row.name}: ${row.values.map((value) => fixed(value)).join(", ")}`).join("; ")}
      />
    </Card>
  );
}

const known = (list: Verdict["noise"]): number[] => list.flatMap((one) => (one.correlation === null ? [] : [one.correlation]));

function ConfidenceCard({ confidence }: { confidence: Verdict["confidence"] }) {
  const { probability, margin, perplexity, classes, guessing } = confidence;
  return (
    <Card
      title="Confidence"
      answer={guessing ? "counts as a guess" : percent(probability)}
      help={
        `The probabilities of the predicted and of the second class. The perplexity is ${perplexity.toFixed(1)} of ${classes} ` +
        "classes. The map of a guess is not meaningful."
      }
    >
      <Fractions
        value={probability}
        mark={probability - margin}
        label={`${percent(probability)}, ${percent(margin)} more than the second class`}
      />
    </Card>
  );
}
