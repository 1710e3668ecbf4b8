// What people said: hidden until asked for, since it names the methods.

import { get } from "../../api/http";
import { busy, fill, h } from "../../dom";
import { counted, fixed } from "../../numbers";
import { Trouble } from "../../parts/trouble";
import { dots } from "./dots";
import type { StudyInfo, StudyMetrics, StudyNumber, StudyResults, StudyStanding } from "./wire";

export class Results {
  readonly element = h("section", { class: "card results" });
  private info: StudyInfo | null = null;

  private readonly trouble = new Trouble();

  /** Closed, with what can be told without a name. */
  draw(info: StudyInfo): void {
    this.info = info;
    const { people } = info;
    const answers = people.reduce((sum, one) => sum + one.answered, 0);
    fill(
      this.element,
      h("h2", {}, "Results"),
      h(
        "p",
        {},
        answers
          ? `${counted(answers, "answer")} of ${counted(people.length, "person", "people")} so far.`
          : "There are no answers yet.",
      ),
      this.warning(),
      h(
        "button",
        { class: "reveal", disabled: answers === 0, onclick: () => void this.show() },
        "Show the results (this reveals the methods)",
      ),
      this.trouble.element,
    );
    delete this.element.dataset.drawn;
  }

  hide(): void {
    if (this.info) this.draw(this.info);
  }

  /** Who would no longer be blind. */
  private warning(): HTMLElement | null {
    const { people, pairs, ratings } = this.info!;
    const total = pairs + ratings;
    const open = people.filter((one) => one.answered < total);
    if (!open.length) return null;
    const who = open.slice(0, 6).map((one) => `${one.name} has ${total - one.answered} open questions`);
    if (open.length > 6) who.push(`${open.length - 6} more are not finished`);
    return h(
      "p",
      { class: "warning" },
      `${who.join(", ")}. Participants who see the results before they have finished are no longer blind.`,
    );
  }

  private async show(): Promise<void> {
    this.trouble.clear();
    busy(this.element, true);
    try {
      this.open(await get<StudyResults>("/api/study/results"));
    } catch (error) {
      this.trouble.tell(error);
    } finally {
      busy(this.element, false);
    }
  }

  private open(found: StudyResults): void {
    this.info = { ...this.info!, people: found.people };
    const title = h("h2", { tabindex: -1 }, "Results");
    const paired = found.ranking.some((one) => one.n_compared > 0);
    const rated = found.ranking.some((one) => one.n_rated > 0);
    fill(
      this.element,
      h("div", { class: "row spread" }, title, h("button", { onclick: () => this.hide() }, "Hide the results")),
      h("p", {}, told(found)),
      this.warning(),
      h(
        "div",
        { class: "plots" },
        paired &&
          dots(
            "Strength, from pairs",
            found.ranking.map((one) => ({ name: one.method, ...one.strength })),
            null,
            "Bradley-Terry, on the logit scale; 0 is the mean. Lines are 95\u00a0% intervals.",
          ),
        rated &&
          dots(
            "Rating, 1 to 5",
            found.ranking.map((one) => ({ name: one.method, ...one.rating })),
            [1, 5],
            "The mean over all ratings of a method's maps. Lines are 95\u00a0% intervals.",
          ),
      ),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Ranking as a table" }, standings(found.ranking)),
      ...found.metrics.map(metrics),
      h(
        "div",
        { class: "row" },
        h("a", { class: "button", href: "/api/study/results.csv", download: true }, "Results as CSV"),
        h("a", { class: "button", href: "/api/study/answers.csv", download: true }, "All answers as CSV"),
      ),
    );
    this.element.dataset.drawn = `${found.answers}`;
    title.focus();
  }
}

/** The most important of it in words. */
function told(found: StudyResults): string {
  const said = [`${counted(found.answers, "answer")} of ${counted(found.people.length, "person", "people")}.`];
  const asked = found.ranking.filter((one) => one.n_compared > 0);
  const [best, last] = [asked[0], asked[asked.length - 1]];
  if (best && last && best !== last) {
    const chance = 1 / (1 + Math.exp(last.strength.value! - best.strength.value!));
    said.push(
      `According to these strengths, ${best.method} is preferred to ${last.method} in ${Math.round(100 * chance)} of 100 pairs` +
        (best.strength.low === null || last.strength.high === null
          ? "; too few answers for intervals."
          : best.strength.low > last.strength.high
            ? "."
            : "; their intervals overlap, so more answers are needed."),
    );
  }
  said.push(
    found.agreement === null
      ? "The agreement is known once two participants have answered the same pair."
      : `Two participants agree on ${Math.round(100 * found.agreement)}\u00a0% of the pairs; 50\u00a0% is chance.`,
  );
  return said.join(" ");
}

function standings(list: readonly StudyStanding[]): HTMLElement {
  const head = ["Method", "Strength", "Rating", "Pairs won", "Times rated"];
  return h(
    "table",
    { class: "standings" },
    h("thead", {}, h("tr", {}, ...head.map((words) => h("th", { scope: "col" }, words)))),
    h(
      "tbody",
      {},
      ...list.map((one) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, one.method),
          h("td", {}, ...(one.n_compared ? between(one.strength) : ["–"])),
          h("td", {}, ...(one.n_rated ? between(one.rating) : ["–"])),
          h("td", {}, `${one.n_won} of ${one.n_compared}`),
          h("td", {}, one.n_rated),
        ),
      ),
    ),
  );
}

/** A number and its interval; one dash for an interval that is not known, or for both. */
const between = (one: StudyNumber): (Node | string)[] =>
  one.value === null
    ? ["–"]
    : [
        h("b", {}, fixed(one.value)),
        h("span", { class: "note" }, one.low === null || one.high === null ? " –" : ` ${fixed(one.low)} to ${fixed(one.high)}`),
      ];

function metrics(one: StudyMetrics): HTMLElement {
  const taus = Object.entries(one.taus).sort(([, a], [, b]) => (b ?? -2) - (a ?? -2));
  return h(
    "section",
    { class: "metrics" },
    h("h3", {}, `Agreement of metrics with participants: ${one.run}`),
    one.problem
      ? h("p", { class: "note" }, one.problem)
      : h("p", { class: "note" }, `Kendall's tau over ${one.methods.join(", ")}: 1 is the same order, −1 the reverse order.`),
    taus.length > 0 &&
      !one.problem &&
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ...["Metric", "Tau", "As text"].map((words) => h("th", { scope: "col" }, words)))),
        h(
          "tbody",
          {},
          ...taus.map(([name, tau]) =>
            h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, fixed(tau)), h("td", { class: "words" }, inWords(tau))),
          ),
        ),
      ),
  );
}

/** What a tau means for who has to choose a metric. */
export function inWords(tau: number | null): string {
  if (tau === null) return "no order to compare";
  if (tau > 0.999) return "same order as participants";
  if (tau >= 0.5) return "mostly the same order";
  if (tau > -0.5) return "weak relation";
  if (tau > -0.999) return "mostly the reverse order";
  return "reverse order";
}
