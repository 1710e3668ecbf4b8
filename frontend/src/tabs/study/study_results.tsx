// What participants answered: hidden until it is requested, since it names the methods.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { counted, fixed } from "../../numbers";
import { TableHead } from "../../shared/controls";
import { ErrorMessage } from "../../shared/error_message";
import { IntervalPlot } from "../../shared/interval_plot";
import { useGet } from "../../shared/use_request";
import type { StudyInfo, StudyMetrics, StudyNumber, StudyResults, StudyStanding } from "./schemas";

export function StudyResultsCard({ info }: { info: StudyInfo }) {
  const [open, setOpen] = useState(false);
  const request = useGet<StudyResults>(open ? "/api/study/results" : null);
  const found = open && request.key !== null ? request.data : null;
  const people = found?.people ?? info.people;
  const answers = info.people.reduce((sum, one) => sum + one.answered, 0);
  return (
    <section class="card results" aria-busy={request.busy || undefined} data-drawn={found ? String(found.answers) : undefined}>
      {found ? (
        <OpenResults found={found} hide={() => setOpen(false)} warning={<Warning info={info} people={people} />} />
      ) : (
        <>
          <h2>Results</h2>
          <p>
            {answers
              ? `${counted(answers, "answer")} of ${counted(info.people.length, "person", "people")} so far.`
              : "There are no answers yet."}
          </p>
          <Warning info={info} people={people} />
          <button class="reveal" disabled={answers === 0} onClick={() => setOpen(true)}>
            Show the results (this reveals the methods)
          </button>
          <ErrorMessage error={open ? request.error : null} retry={request.retry} />
        </>
      )}
    </section>
  );
}

/** Who would no longer be blind. */
function Warning({ info, people }: { info: StudyInfo; people: StudyInfo["people"] }) {
  const total = info.pairs + info.ratings;
  const open = people.filter((one) => one.answered < total);
  if (!open.length) return null;
  const who = open.slice(0, 6).map((one) => `${one.name} has ${total - one.answered} open questions`);
  if (open.length > 6) who.push(`${open.length - 6} more are not finished`);
  return (
    <p class="warning">
      {`${who.join(", ")}. Participants who see the results before they have finished are no longer blind.`}
    </p>
  );
}

function OpenResults({ found, hide, warning }: { found: StudyResults; hide: () => void; warning: preact.ComponentChild }) {
  const title = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => title.current!.focus(), []);
  const { ranking } = found;
  return (
    <>
      <div class="row spread">
        <h2 tabIndex={-1} ref={title}>
          Results
        </h2>
        <button onClick={hide}>Hide the results</button>
      </div>
      <p>{summaryOf(found)}</p>
      {warning}
      <div class="plots">
        {ranking.some((one) => one.n_compared > 0) && (
          <IntervalPlot label="Strength, from pairs" rows={ranking.map((one) => ({ name: one.method, ...one.strength }))}>
            <b>Strength, from pairs</b>
            <span class="note">{"Bradley-Terry, on the logit scale; 0 is the mean. Lines are 95\u00a0% intervals."}</span>
          </IntervalPlot>
        )}
        {ranking.some((one) => one.n_rated > 0) && (
          <IntervalPlot label="Rating, 1 to 5" rows={ranking.map((one) => ({ name: one.method, ...one.rating }))} range={[1, 5]}>
            <b>Rating, 1 to 5</b>
            <span class="note">{"The mean over all ratings of the maps of a method. Lines are 95\u00a0% intervals."}</span>
          </IntervalPlot>
        )}
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label="Ranking as a table">
        <Ranking ranking={ranking} />
      </div>
      {found.metrics.map((one) => (
        <MetricAgreement key={one.run} metrics={one} />
      ))}
      <div class="row">
        <a class="button" href="/api/study/results.csv" download>
          Results as CSV
        </a>
        <a class="button" href="/api/study/answers.csv" download>
          All answers as CSV
        </a>
      </div>
    </>
  );
}

/** The most important result as text. */
function summaryOf(found: StudyResults): string {
  const said = [`${counted(found.answers, "answer")} of ${counted(found.people.length, "person", "people")}.`];
  const compared = found.ranking.filter((one) => one.n_compared > 0);
  const [best, last] = [compared[0], compared.at(-1)];
  if (best && last && best !== last) {
    const chance = 1 / (1 + Math.exp(last.strength.value! - best.strength.value!));
    const certainty =
      best.strength.low === null || last.strength.high === null
        ? "; too few answers for intervals."
        : best.strength.low > last.strength.high
          ? "."
          : "; their intervals overlap, so more answers are needed.";
    said.push(
      `According to these strengths, ${best.method} is preferred to ${last.method} in ${Math.round(100 * chance)} of 100 pairs${certainty}`,
    );
  }
  said.push(
    found.agreement === null
      ? "The agreement is known once two participants have answered the same pair."
      : `Two participants agree on ${Math.round(100 * found.agreement)}\u00a0% of the pairs; 50\u00a0% is chance.`,
  );
  return said.join(" ");
}

function Ranking({ ranking }: { ranking: readonly StudyStanding[] }) {
  return (
    <table class="standings">
      <TableHead columns={["Method", "Strength", "Rating", "Pairs won", "Times rated"]} />
      <tbody>
        {ranking.map((one) => (
          <tr key={one.method}>
            <th scope="row">{one.method}</th>
            <td>{one.n_compared ? <Interval number={one.strength} /> : "–"}</td>
            <td>{one.n_rated ? <Interval number={one.rating} /> : "–"}</td>
            <td>{`${one.n_won} of ${one.n_compared}`}</td>
            <td>{one.n_rated}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A number and its interval; one dash for an interval that is not known, or for both. */
function Interval({ number }: { number: StudyNumber }) {
  if (number.value === null) return <>–</>;
  const known = number.low !== null && number.high !== null;
  return (
    <>
      <b>{fixed(number.value)}</b>
      <span class="note">{known ? ` ${fixed(number.low)} to ${fixed(number.high)}` : " –"}</span>
    </>
  );
}

function MetricAgreement({ metrics }: { metrics: StudyMetrics }) {
  const taus = Object.entries(metrics.taus).sort(([, a], [, b]) => (b ?? -2) - (a ?? -2));
  return (
    <section class="metrics">
      <h3>{`Agreement of metrics with participants: ${metrics.run}`}</h3>
      <p class="note">
        {metrics.problem || `Kendall's tau over ${metrics.methods.join(", ")}: 1 is the same order, −1 the reverse order.`}
      </p>
      {taus.length > 0 && !metrics.problem && (
        <table>
          <TableHead columns={["Metric", "Tau", "As text"]} />
          <tbody>
            {taus.map(([name, tau]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{fixed(tau)}</td>
                <td class="words">{tauText(tau)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

/** What a value of tau means for the choice of a metric. */
export function tauText(tau: number | null): string {
  if (tau === null) return "no order to compare";
  if (tau > 0.999) return "same order as participants";
  if (tau >= 0.5) return "mostly the same order";
  if (tau > -0.5) return "weak relation";
  return tau > -0.999 ? "mostly the reverse order" : "reverse order";
}
