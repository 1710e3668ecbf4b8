// Evaluations: methods by metrics with their intervals; a metric chosen is sorted by, drawn, and its curves shown.

import { get } from "../../api/http";
import { busy, fill, h, svg } from "../../dom";
import { digits } from "../../numbers";
import type { Page } from "../../page";
import { plot } from "../../parts/plot";
import { Trouble } from "../../parts/trouble";
import { Turns } from "../../turns";
import type { Part } from "./part";
import { type Curves, type Evaluation, query, type RunInfo } from "./wire";

type Metric = Evaluation["metrics"][number];
type Method = Evaluation["methods"][number];
type Numbers = Evaluation["scores"][number];

const WAYS = { high: "↑ higher is better", low: "↓ lower is better", neither: "describes" };
/** Told apart by colour and by dashes. */
const COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#999933"];
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "5 2", "1 2", "12 4", "4 4 1 4"];

export function evaluations(page: Page): Part {
  const own = page.store.own("dataset");
  const trouble = new Trouble();
  const said = h("ul", { class: "said" });
  const table = h("div", { class: "scroller card" });
  const drawing = h("div", { class: "drawing" });
  const failed = h("div");
  const element = h("div", { class: "evaluation" }, said, trouble.element, table, drawing, failed);
  let found: Evaluation | null = null;
  let asked = "";
  const turns = new Turns();
  let signal = turns.begin();

  async function show(run: RunInfo): Promise<void> {
    if (asked !== run.id) {
      const mine = (signal = turns.begin());
      asked = run.id;
      trouble.clear();
      busy(element, true);
      fill(said, h("li", { class: "note" }, "Computing intervals and tests …"));
      for (const part of [table, drawing, failed]) fill(part);
      try {
        found = await get<Evaluation>(query("evaluation", { run: run.id }), mine);
      } catch (error) {
        if (mine.aborted) return;
        asked = "";
        fill(said);
        trouble.tell(error);
        return;
      } finally {
        if (!mine.aborted) busy(element, false);
      }
    }
    if (found?.run === run.id) draw(found);
  }

  function draw(of: Evaluation): void {
    const chosen = of.metrics.find((one) => one.name === own.get("metric")) ?? of.metrics.find((one) => one.better !== "neither") ?? of.metrics[0];
    fill(said, ...of.sentences.map((text) => h("li", {}, text)));
    if (!chosen) {
      fill(table, h("p", { class: "note" }, "This run contains no scores."));
      return;
    }
    const numbers = new Map(of.scores.map((one) => [`${one.metric} ${one.method}`, one]));
    const methods = sorted(of.methods, chosen, numbers, own.get("up") === "1");
    fill(table, grid(of, methods, chosen, numbers));
    fill(
      drawing,
      h(
        "figure",
        { class: "card" },
        h("h3", {}, chosen.name, h("span", { class: "note" }, ` ${WAYS[chosen.better]}`)),
        h("p", { class: "note" }, chosen.summary, chosen.distrust && ` Not trusted here: ${chosen.distrust}.`),
        dots(methods, chosen, numbers),
        h("figcaption", { class: "note" }, "The score of each method with its 95 % bootstrap interval over images. Hollow: controls."),
      ),
    );
    if (chosen.curves) void curves(of, chosen);
    fill(
      failed,
      of.failed > 0 && h("details", { class: "card" }, h("summary", {}, `${of.failed} could not be scored`), h("ul", {}, ...of.failures.map((one) => h("li", {}, `${one.name}: ${one.reason}`)))),
    );
    element.dataset.drawn = `${of.run} ${chosen.name}`;
  }

  function grid(of: Evaluation, methods: Method[], chosen: Metric, numbers: Map<string, Numbers>): HTMLElement {
    const up = own.get("up") === "1";
    return h(
      "table",
      {},
      h("caption", { class: "note" }, `${of.n_images} images, maps of ${of.explained}; 95 % intervals. Select a metric to sort by it and to plot it; select it again to reverse the order. ★ better than all others by the paired tests; italics: controls.`),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "method"),
          ...of.metrics.map((one) => {
            const on = one === chosen;
            const best = (one.better === "low") !== up;
            return h(
              "th",
              { scope: "col", "aria-sort": on ? (best ? "ascending" : "descending") : "none" },
              h("button", { class: "quiet", "aria-pressed": String(on), "data-metric": one.name, onclick: () => choose(one.name, on && !up) }, one.name, on && h("span", { "aria-hidden": "true" }, best ? " ↑" : " ↓")),
              h("small", {}, one.distrust ? `${WAYS[one.better]}; not trusted here` : WAYS[one.better]),
            );
          }),
        ),
      ),
      h(
        "tbody",
        {},
        ...methods.map((method) =>
          h(
            "tr",
            { class: method.control ? "control" : "" },
            h("th", { scope: "row" }, method.name, method.control && h("small", {}, method.knows === "ground truth" ? "control: knows the ground truth" : "control")),
            ...of.metrics.map((metric) => number(numbers.get(`${metric.name} ${method.name}`), metric.best.includes(method.name))),
          ),
        ),
      ),
    );
  }

  function choose(metric: string, up: boolean): void {
    own.set({ metric, up: up ? "1" : null }, true);
    [...table.querySelectorAll<HTMLElement>("[data-metric]")].find((one) => one.dataset.metric === metric)?.focus();
  }

  async function curves(of: Evaluation, metric: Metric): Promise<void> {
    try {
      const got = await get<Curves>(query("curves", { run: of.run, metric: metric.name }), signal);
      const chosen = own.get("metric") || metric.name;
      if (asked !== of.run || chosen !== metric.name || !got.lines.length || drawing.querySelector(".curves")) return;
      drawing.append(curved(got));
    } catch (error) {
      trouble.tell(error);
    }
  }

  return {
    name: "evaluation",
    title: "Evaluations",
    kind: "evaluation",
    element,
    show: (run) => void show(run),
    hide() {},
  };
}

/** The best first, methods without a number last; `up`: the other way round. */
function sorted(methods: readonly Method[], metric: Metric, numbers: Map<string, Numbers>, up: boolean): Method[] {
  const way = (metric.better === "low" ? 1 : -1) * (up ? -1 : 1);
  const value = (method: Method): number | null => numbers.get(`${metric.name} ${method.name}`)?.value ?? null;
  return [...methods].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return way * (a - b);
  });
}

function number(one: Numbers | undefined, best: boolean): HTMLElement {
  if (!one || !one.n) return h("td", {}, "–");
  const span = one.low === null ? "" : `${digits(one.low)} to ${digits(one.high)}`;
  const note = one.invalid ? `${one.invalid} of ${one.n} not scored` : "";
  return h("td", { class: best ? "best" : "", title: `n = ${one.n}` }, h("span", {}, `${best ? "★ " : ""}${digits(one.value)}`), h("small", {}, span), note && h("small", {}, note));
}

const WIDTH = 520;
const LEFT = 170;
const RIGHT = 60;
const LINE = 24;

/** A line a method: its number as a dot, its interval as a line. */
function dots(methods: readonly Method[], metric: Metric, numbers: Map<string, Numbers>): SVGSVGElement {
  const rows = methods
    .map((method) => ({ method, one: numbers.get(`${metric.name} ${method.name}`) }))
    .filter((row): row is { method: Method; one: Numbers } => row.one?.value !== null && row.one?.value !== undefined);
  const ends = rows.flatMap(({ one }) => [one.value!, one.low ?? one.value!, one.high ?? one.value!]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const x = (value: number): number => LEFT + ((value - low) / (high - low || 1)) * (WIDTH - LEFT - RIGHT);
  const height = LINE * rows.length + 28;
  const words = `${metric.name}: ${rows.map(({ method, one }) => `${method.name} ${digits(one.value)}`).join("; ")}`;
  return svg(
    "svg",
    { class: "dots", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": words },
    ...[low, (low + high) / 2, high].flatMap((value) => [
      svg("line", { class: "grid", x1: x(value), x2: x(value), y1: 4, y2: height - 22 }),
      svg("text", { class: "tick", x: x(value), y: height - 6, "text-anchor": "middle" }, digits(value)),
    ]),
    ...rows.flatMap(({ method, one }, i) => {
      const y = LINE * i + LINE / 2 + 4;
      const kind = method.control ? "control" : "method";
      return [
        svg("text", { class: `name ${kind}`, x: LEFT - 12, y: y + 4, "text-anchor": "end" }, method.name.length > 25 ? `${method.name.slice(0, 24)}…` : method.name),
        svg("line", { class: `span ${kind}`, x1: x(one.low ?? one.value!), x2: x(one.high ?? one.value!), y1: y, y2: y }),
        svg("circle", { class: `dot ${kind}`, cx: x(one.value!), cy: y, r: 5 }),
        svg("text", { class: "value", x: x(one.high ?? one.value!) + 9, y: y + 4 }, digits(one.value)),
      ];
    }),
  );
}

function curved(got: Curves): HTMLElement {
  const last = Math.max(1, (got.lines[0]?.mean.length ?? 1) - 1);
  const lines = got.lines.map((line) => ({ name: line.method, points: line.mean.map((value, i) => [i / last, value] as const) }));
  const words = `${got.y_label} by ${got.x_label}: ${got.lines.map((line) => `${line.method} from ${digits(line.mean[0])} to ${digits(line.mean[line.mean.length - 1])}`).join("; ")}`;
  const top = Math.max(...lines.flatMap((line) => line.points.map(([, value]) => value)));
  const low = Math.min(0, ...lines.flatMap((line) => line.points.map(([, value]) => value)));
  const drawn = plot(lines, { x: got.x_label, y: "", xs: [0, 1], ys: [low, top <= 1 && low >= 0 ? 1 : top] }, words);
  drawn.querySelectorAll<SVGPolylineElement>(".line").forEach((line, i) => {
    line.style.stroke = COLOURS[i % COLOURS.length]!;
    line.style.strokeDasharray = DASHES[i % DASHES.length]!;
  });
  return h(
    "figure",
    { class: "card curves" },
    h("h3", {}, got.metric, h("span", { class: "note" }, " mean curves")),
    h("p", { class: "note" }, `Vertical axis: ${got.y_label}.`),
    drawn,
    h(
      "figcaption",
      { class: "legend" },
      ...got.lines.map((line, i) => {
        const stroke = svg("line", { x1: 0, x2: 30, y1: 5, y2: 5, "stroke-width": 2.5 });
        stroke.style.stroke = COLOURS[i % COLOURS.length]!;
        stroke.style.strokeDasharray = DASHES[i % DASHES.length]!;
        return h("span", { class: "row" }, svg("svg", { viewBox: "0 0 30 10", width: 30, height: 10, "aria-hidden": "true" }, stroke), line.method);
      }),
    ),
  );
}
