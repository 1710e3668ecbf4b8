// Change the picture a little: does the map follow?

import { post } from "../../api/http";
import { decodeImage } from "../../api/images";
import { busy, fill, h } from "../../dom";
import { Field } from "../../maps/field";
import { unpack } from "../../maps/packed";
import { fixed, percent, portion } from "../../numbers";
import { lookOf, type Page } from "../../page";
import { slider, type Slider } from "../../parts/controls";
import { HeatView } from "../../parts/heat";
import { plot } from "../../parts/plot";
import { Trouble } from "../../parts/trouble";
import { Turns } from "../../turns";
import { Latest } from "./latest";
import type { Now, Part } from "./part";
import { stands, told } from "./stands";
import type { Doubt, Varied } from "./wire";

type Name = "angle" | "noise" | "across" | "down" | "blur" | "light";
type Values = Partial<Record<Name, number>>;

interface Dial {
  name: Name;
  words: string;
  min: number;
  max: number;
  step: number;
  tell: (value: number) => string;
}

const sided = (value: number, unit: string): string => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)}${unit}`;
const shifted = (value: number): string => sided(Math.round(100 * value), " %");

const DIALS: Dial[] = [
  { name: "angle", words: "Rotation", min: -45, max: 45, step: 1, tell: (value) => sided(value, "°") },
  { name: "noise", words: "Noise", min: 0, max: 0.3, step: 0.005, tell: (value) => `${(100 * value).toFixed(1)} %` },
  { name: "across", words: "Shift right", min: -0.25, max: 0.25, step: 0.01, tell: shifted },
  { name: "down", words: "Shift down", min: -0.25, max: 0.25, step: 0.01, tell: shifted },
  { name: "blur", words: "Blur", min: 0, max: 0.06, step: 0.001, tell: (value) => `${(100 * value).toFixed(1)} %` },
  { name: "light", words: "Brightness", min: -0.4, max: 0.4, step: 0.01, tell: shifted },
];
/** Points of a dial's whole range that are asked for at once. */
const SWEEP = 15;

export function stability(page: Page): Part {
  const views = {
    first: new HeatView("overlay", page.painter),
    now: new HeatView("overlay", page.painter),
    back: new HeatView("overlay", page.painter),
  };
  const own = page.store.own("trust");
  const outcome = told();
  const trouble = new Trouble();
  const classes = h("div");
  const drawing = h("div", { class: "trace" });
  const latest = new Latest<Doubt & Values, Varied>(
    "/api/perturb",
    (answer, at) => void draw(answer, at),
    (error) => trouble.tell(error),
    (waiting) => busy(element, waiting),
  );
  const values: Values = {};
  const dials = new Map<string, Slider>();
  const trace = new Map<number, number>();
  let plain: HTMLImageElement | null = null;
  let plainFor = "";
  let moving: Dial = DIALS[0]!;
  const sweeping = new Turns();
  let now: Now | null = null;

  const reset = h("button", { onclick: clear }, "Reset");
  const sweep = h("button", { onclick: () => void goThrough() }, "Sweep");
  const element = h(
    "div",
    { class: "stability" },
    h("p", { class: "lead" }, "Perturb the image slightly. A trustworthy map changes in the same way."),
    outcome.element,
    trouble.element,
    h("div", { class: "views" }, views.first.element, views.now.element, views.back.element),
    h(
      "div",
      { class: "below" },
      h("section", { class: "card dials", "aria-label": "Perturbations" }, ...DIALS.map(dial), h("div", { class: "row" }, reset, sweep)),
      h("section", { class: "card" }, h("h3", {}, "Stability"), drawing),
      h("section", { class: "card" }, h("h3", {}, "Classes"), classes, h("p", { class: "note" }, "If the probability of the class drops, a different map is to be expected.")),
    ),
  );

  function dial(one: Dial): HTMLElement {
    values[one.name] = 0;
    const made = slider(one.words, { min: one.min, max: one.max, step: one.step }, (value) => move(one, value), one.tell);
    made.set(0);
    dials.set(one.name, made);
    return made.element;
  }

  function move(one: Dial, value: number): void {
    stopSweep();
    if (one !== moving) {
      moving = one;
      trace.clear();
      drawTrace();
    }
    values[one.name] = value;
    own.set({ [one.name]: value === 0 ? null : String(value) });
    ask();
  }

  function clear(): void {
    stopSweep();
    for (const one of DIALS) {
      values[one.name] = 0;
      dials.get(one.name)!.set(0);
    }
    own.set(Object.fromEntries(DIALS.map((one) => [one.name, null])));
    trace.clear();
    ask();
  }

  /** From the link; a number that no slider has is none. */
  function restore(): void {
    for (const one of DIALS) {
      const value = Number(own.get(one.name) || 0);
      values[one.name] = Number.isFinite(value) ? Math.min(one.max, Math.max(one.min, value)) : 0;
      dials.get(one.name)!.set(values[one.name]!);
      if (values[one.name] !== 0) moving = one;
    }
  }

  function ask(): void {
    if (!now) return;
    latest.ask({ ...now.doubt, ...values }, now.slow);
  }

  async function draw(answer: Varied, at: Values): Promise<void> {
    const image = await decodeImage(answer.network_input);
    trouble.clear();
    const untouched = DIALS.every((one) => at[one.name] === 0);
    if (untouched) [plain, plainFor] = [image, about()];
    if (!plain || plainFor !== about()) await fetchPlain();
    const one = answer.classes[0]!;
    const look = lookOf(page);
    views.first.set(plain!, Field.of(answer.original_map, answer.original_map.geometry), look, `Unmodified: ${one.name} ${percent(one.before)}`);
    views.now.set(image, Field.of(answer.map, answer.map.geometry), look, untouched ? "Not perturbed yet" : `Perturbed: ${one.name} ${percent(one.after)}`);
    views.back.set(plain!, laid(answer), look, "Its map, mapped back to the unmodified image");
    fill(classes, stands(answer.classes, answer.target));
    outcome.say(words(answer, untouched));
    if (answer.correlation !== null) trace.set(at[moving.name]!, answer.correlation);
    drawTrace();
    element.dataset.correlation = answer.correlation === null ? "none" : answer.correlation.toFixed(6);
    element.dataset.at = DIALS.map((one) => at[one.name]).join(" ");
  }

  const about = (): string => JSON.stringify(now?.doubt);

  /** The link restored a changed picture: the unchanged one is missing. */
  async function fetchPlain(): Promise<void> {
    const mine = about();
    const answer = await post<Varied>("/api/perturb", now!.doubt);
    [plain, plainFor] = [await decodeImage(answer.network_input), mine];
  }

  function drawTrace(): void {
    if (trace.size < 2) {
      fill(drawing, h("p", { class: "note" }, "Move a slider, or choose Sweep: the similarity to the first map is plotted here."));
      return;
    }
    const points = [...trace].sort((one, other) => one[0] - other[0]);
    const low = Math.min(0, ...points.map(([, y]) => y)) < 0 ? -1 : 0;
    fill(
      drawing,
      plot(
        [
          { name: "steady", kind: "quiet", points: [[moving.min, 0.5], [moving.max, 0.5]] },
          { name: "correlation", points },
        ],
        { x: moving.words, y: "rank correlation", xs: [moving.min, moving.max], ys: [low, 1] },
        `Rank correlation with the first map, by ${moving.words.toLowerCase()}: ` +
          points.map(([x, y]) => `${moving.tell(x)} ${fixed(y)}`).join(", "),
      ),
      h("p", { class: "note" }, "1: all positions are ranked in the same order. Below the dashed line the map counts as unstable."),
    );
  }

  /** One dial's whole range, point by point, the others as they stand. */
  async function goThrough(): Promise<void> {
    if (!now) return;
    if (sweeping.waiting) return stopSweep();
    latest.stop();
    const signal = sweeping.begin();
    sweep.textContent = "Stop";
    const before = values[moving.name]!;
    try {
      for (let i = 0; i < SWEEP && !signal.aborted; i++) {
        const value = moving.min + ((moving.max - moving.min) * i) / (SWEEP - 1);
        const at = { ...values, [moving.name]: Number((Math.round(value / moving.step) * moving.step).toFixed(4)) };
        dials.get(moving.name)!.set(at[moving.name]!);
        const answer = await post<Varied>("/api/perturb", { ...now.doubt, ...at }, signal);
        if (!signal.aborted) await draw(answer, at);
      }
    } catch (error) {
      trouble.tell(error);
    }
    if (signal.aborted) return;
    stopSweep();
    dials.get(moving.name)!.set(before);
    element.dataset.swept = moving.name;
    ask();
  }

  function stopSweep(): void {
    sweeping.end();
    sweep.textContent = "Sweep";
  }

  return {
    name: "stability",
    title: "Stability",
    element,
    show(next) {
      const other = !now || JSON.stringify(now.doubt) !== JSON.stringify(next.doubt);
      now = next;
      if (other) trace.clear();
      restore();
      drawTrace();
      if (other || !element.dataset.at) ask();
    },
    paint: () => Object.values(views).forEach((view) => view.paint(lookOf(page))),
    hide() {
      stopSweep();
      latest.stop();
    },
  };
}

/** Where it is not known, nothing is drawn. */
function laid(answer: Varied): Field {
  const [map, known] = unpack(answer.mapped_back) as [Field["map"], Field["map"]];
  const values = map.values.map((value, i) => (known.values[i]! < 0.5 ? NaN : value));
  return new Field({ ...map, values }, answer.original_map.geometry, false, answer.original_map.signed, answer.original_map.percentile);
}

function words(answer: Varied, untouched: boolean): string {
  const one = answer.classes[0]!;
  if (untouched) return "Nothing is perturbed yet.";
  const standing = `${one.name} ${percent(one.before)} → ${percent(one.after)}`;
  if (answer.correlation === null) return `The map is constant and cannot be compared. ${standing}.`;
  const value = fixed(answer.correlation);
  const verdict =
    answer.correlation >= 0.8 ? "The map is stable" : answer.correlation >= 0.5 ? "The map is partly stable" : "The map is unstable";
  return `${verdict}: rank correlation ${value} over the ${portion(answer.valid_fraction)} that both maps cover. ${standing}.`;
}
