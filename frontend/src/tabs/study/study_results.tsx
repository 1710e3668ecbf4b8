// What participants answered: hidden until it is requested, since it names the methods.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Schemas } from "../../api/types";
import { counted, fixed } from "../../numbers";
import { IntervalPlot } from "../../shared/interval_plot";
import { Pending } from "../../shared/pending";
import { Table } from "../../shared/table";
import { useGet } from "../../shared/use_request";

type Info = Schemas["StudyInfo"];
type Results = Schemas["StudyResults"];

export function StudyResultsCard({ info }: { info: Info }) {
  const [open, setOpen] = useState(false);
  const request = useGet<Results>(open ? "/api/study/results" : null);
  const found = open ? request.data : null;
  const people = found?.people ?? info.people;
  const answers = info.people.reduce((sum, one) => sum + one.answered, 0);
  const title = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => {
    if (found) title.current!.focus();
  }, [found === null]);
  return (
    <section class="card results" aria-busy={request.busy || undefined} data-drawn={found ? String(found.answers) : undefined}>
      <div class="row spread">
        <h2 tabIndex={-1} ref={title}>Results</h2>
        {found && <button onClick={() => setOpen(false)}>Hide the results</button>}
      </div>
      <p>
        {found
          ? summaryOf(found)
          : answers
            ? `${counted(answers, "answer")} of ${counted(info.people.length, "person", "people")} so far.`
            : "There are no answers yet."}
      </p>
      <Warning total={info.pairs + info.ratings} people={people} />
      {found && <OpenResults found={found} />}
      {!found && (
        <button class="reveal" disabled={answers === 0} onClick={() => setOpen(true)}>
          Show the results (this reveals the methods)
        </button>
      )}
      {open && <Pending requests={[request]} />}
    </section>
  );
}

/** Who would no longer be blind. */
function Warning({ total, people }: { total: number; people: Info["people"] }) {
  const open = people.filter((one) => one.answered < total);
  if (!open.length) return null;
  const who = open.slice(0, 6).map((one) => `${one.name} has ${total - one.answered} open questions`);
  if (open.length > 6) who.push(`${open.length - 6} more are not finished`);
  return <p class="warning">{`${who.join(", ")}. Participants who see the results before they have finished are no longer blind.`}</p>;
}

function OpenResults({ found: { ranking, metrics } }: { found: Results }) {
  const compared = ranking.some((one) => one.n_compared > 0);
  const rated = ranking.some((one) => one.n_rated > 0);
  return (
    <>
      <div class="plots">
        {compared && (
          <IntervalPlot label="Strength, from pairs" rows={ranking.map((one) => ({ name: one.method, ...one.strength }))}>
            <b>Strength, from pairs</b>
            <span class="note">{"Bradley-Terry, on the logit scale; 0 is the mean. Lines are 95\u00a0% intervals."}</span>
          </IntervalPlot>
        )}
        {rated && (
          <IntervalPlot label="Rating, 1 to 5" rows={ranking.map((one) => ({ name: one.method, ...one.rating }))} range={[1, 5]}>
            <b>Rating, 1 to 5</b>
            <span class="note">{"The mean over all ratings of the maps of a method. Lines are 95\u00a0% intervals."}</span>
          </IntervalPlot>
        )}
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label="Ranking as a table">
        <Table
          class="standings"
          rows={ranking}
          keyOf={(one) => one.method}
          columns={[
            { head: "Method", cell: (one) => one.method },
            { head: "Strength", cell: (one) => (one.n_compared ? interval(one.strength) : "–") },
            { head: "Rating", cell: (one) => (one.n_rated ? interval(one.rating) : "–") },
            { head: "Pairs won", cell: (one) => `${one.n_won} of ${one.n_compared}` },
            { head: "Times rated", cell: (one) => one.n_rated },
          ]}
        />
      </div>
      {metrics.map((one) => <MetricAgreement key={one.run} metrics={one} />)}
      <div class="row">
        <a class="button" href="/api/study/results.csv" download>Results as CSV</a>
        <a class="button" href="/api/study/answers.csv" download>All answers as CSV</a>
      </div>
    </>
  );
}

/** A number and its interval; one dash for an interval that is not known, or for both. */
function interval({ value, low, high }: Schemas["Range"]) {
  if (value === null) return "–";
  return [<b>{fixed(value)}</b>, <span class="note">{low !== null && high !== null ? ` ${fixed(low)} to ${fixed(high)}` : " –"}</span>];
}

/** The most important result as text. */
function summaryOf(found: Results): string {
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
    const wins = `is preferred to ${last.method} in ${Math.round(100 * chance)} of 100 pairs`;
    said.push(`According to these strengths, ${best.method} ${wins}${certainty}`);
  }
  said.push(
    found.agreement === null
      ? "The agreement is known once two participants have answered the same pair."
      : `Two participants agree on ${Math.round(100 * found.agreement)}\u00a0% of the pairs; 50\u00a0% is chance.`,
  );
  return said.join(" ");
}

function MetricAgreement({ metrics: { run, problem, methods, taus } }: { metrics: Schemas["StudyMetrics"] }) {
  const rows = Object.entries(taus).sort(([, a], [, b]) => (b ?? -2) - (a ?? -2));
  return (
    <section class="metrics">
      <h3>{`Agreement of metrics with participants: ${run}`}</h3>
      <p class="note">{problem || `Kendall's tau over ${methods.join(", ")}: 1 is the same order, −1 the reverse order.`}</p>
      {rows.length > 0 && !problem && (
        <Table
          rows={rows}
          keyOf={([name]) => name}
          columns={[
            { head: "Metric", cell: ([name]) => name },
            { head: "Tau", cell: ([, tau]) => fixed(tau) },
            { head: "As text", cell: ([, tau]) => tauText(tau), td: () => ({ class: "words" }) },
          ]}
        />
      )}
    </section>
  );
}

/** What a value of tau means for the choice of a metric. */
function tauText(tau: number | null): string {
  if (tau === null) return "no order to compare";
  if (tau > 0.999) return "same order as participants";
  if (tau >= 0.5) return "mostly the same order";
  if (tau > -0.5) return "weak relation";
  return tau > -0.999 ? "mostly the reverse order" : "reverse order";
}
