// The verdict on the map: what was tested, with the number first and how to read it behind a question mark.

import { decodeImage } from "../../api/images";
import { percent } from "../../numbers";
import { methodName } from "../../shared/method_names";
import { useRequest } from "../../shared/use_request";
import { Cards, PlannedCards } from "./cards";
import { ComparedMaps } from "./compared_maps";
import type { Subject, Verdict } from "./schemas";
import { TestControl, useTest } from "./use_test";

/** Runs of the network, approximately; a quick map costs one and a half, and thirteen more maps are made. */
const N_RUNS = 125;

export function VerdictPart({ subject }: { subject: Subject }) {
  const { answer, slow } = subject;
  const seconds = answer.seconds * (slow ? 14 : N_RUNS / 1.6);
  const test = useTest<Verdict>("/api/trust", subject, seconds);
  const found = test.result;
  const images = useRequest(found ? subject.key : null, () =>
    Promise.all([decodeImage(found!.network_input), decodeImage(found!.occluded_input)]),
  );
  const drawn = found && images.key === subject.key ? images.data : null;
  return (
    <div class="verdict" data-level={drawn ? found!.level : undefined} data-p={drawn ? String(found!.position_test?.p ?? "") : undefined}>
      <TestControl
        test={test}
        doing="Running the tests"
        button="Run tests"
        what={`Five tests of the map, with about ${N_RUNS} runs of the network`}
        seconds={seconds}
      />
      {drawn ? (
        <>
          <Banner found={found!} subject={subject} />
          <Cards found={found!} input={drawn[0]} blurred={drawn[1]} />
          <ComparedMaps found={found!} input={drawn[0]} />
        </>
      ) : (
        <PlannedCards />
      )}
    </div>
  );
}

const KINDS: Record<Verdict["level"], { kind: string; plain: string }> = {
  supported: { kind: "good", plain: "The map passed all tests." },
  "weakly supported": { kind: "care", plain: "The tests support the map with reservations:" },
  "not supported": { kind: "bad", plain: "The reason:" },
  "cannot tell": { kind: "unknown", plain: "The reason:" },
};

/** "Not better than random placement, p = 0.31". */
export function placementText({ position_test: found, thresholds }: Verdict): string {
  if (!found) return "The map is constant: its position cannot be tested.";
  const how = found.p <= thresholds.max_p ? "Better" : found.p <= thresholds.reject_p ? "Hardly better" : "Not better";
  return `${how} than random placement, p = ${found.p_text}.`;
}

function Banner({ found, subject }: { found: Verdict; subject: Subject }) {
  const { kind, plain } = KINDS[found.level];
  const { method, layer } = subject.map;
  const title = found.level === "cannot tell" ? "The tests cannot tell" : `The map is ${found.level}`;
  return (
    <section class={`banner ${kind}`} role="status">
      <Sign kind={kind} />
      <div>
        <h2>{title}</h2>
        <p>
          <b>{placementText(found)}</b>
        </p>
        <p>{plain}</p>
        {found.reasons.length > 0 && (
          <ul>
            {found.reasons.map((reason) => (
              <li key={reason}>{reason.charAt(0).toUpperCase() + reason.slice(1)}.</li>
            ))}
          </ul>
        )}
        <p class="soft">
          Tested: the map for {found.target} · {methodName(method)} · {layer}. The prediction ({found.predicted}
          {found.predicted === found.target ? `, ${percent(found.probability)}` : ""}) is not judged: whether it is correct, no test
          of a map can tell.
        </p>
      </div>
    </section>
  );
}

const STROKES: Record<string, string> = {
  good: "M6 12.5l4 4 8-9",
  care: "M12 6.5v7M12 17.2v.3",
  bad: "M7.5 7.5l9 9M16.5 7.5l-9 9",
  unknown: "M9 9.2a3 3 0 1 1 4.4 2.7c-1 .5-1.4 1.1-1.4 2.1M12 17.2v.3",
};
const FRAMES: Record<string, string> = {
  good: "M12 1.8a10.2 10.2 0 1 0 .01 0z",
  care: "M12 2L23 21.5H1z",
  bad: "M7.8 1.8h8.4l6 6v8.4l-6 6H7.8l-6-6V7.8z",
  unknown: "M12 1.8a10.2 10.2 0 1 0 .01 0z",
};

/** Circle, triangle or octagon: the shape says it, too. */
function Sign({ kind }: { kind: string }) {
  return (
    <svg class="sign" viewBox="0 0 24 24" aria-hidden="true">
      <path class="frame" d={FRAMES[kind]} />
      <path class="stroke" d={STROKES[kind]} transform={kind === "care" ? "translate(0 2)" : ""} />
    </svg>
  );
}
