// One point in words and pictures: the picture with its map, what it is and what it was taken for, its neighbours.

import { get } from "../../api/http";
import { loadImage as picture, imageUrl } from "../../api/images";
import { busy, fill, h, settled } from "../../dom";
import { Field } from "../../maps/field";
import { percent } from "../../numbers";
import { lookOf, type Page } from "../../page";
import { HeatView } from "../../parts/heat";
import { Trouble } from "../../parts/trouble";
import { Turns } from "../../turns";
import { mapsOf } from "./maps";
import { ways } from "./ways";
import { type Neighbours, type Points, query, type RunInfo } from "./wire";

const WAIT = 110;
const NEAR = 6;
const SIDE = 320;

export class Card {
  readonly element: HTMLElement;
  private readonly view: HeatView;
  private readonly words = h("div", { class: "words", "aria-live": "polite" });
  private readonly near = h("div", { class: "near" });
  private readonly buttons = h("div", { class: "row" });
  private readonly turns = new Turns();
  private readonly trouble = new Trouble();
  private readonly ask = settled(WAIT, (point: number) => void this.fetch(point));
  private run: RunInfo | null = null;
  private points: Points | null = null;
  private point: number | null = null;
  /** A neighbour was chosen. */
  onchoose: ((point: number) => void) | null = null;
  /** The neighbours of the point shown are known. */
  onnear: ((points: number[]) => void) | null = null;

  constructor(private readonly page: Page) {
    this.view = new HeatView("overlay", page.painter, SIDE);
    this.element = h("aside", { class: "card point" });
    this.rest();
  }

  set(run: RunInfo, points: Points): void {
    this.run = run;
    this.points = points;
    this.rest();
  }

  /** Nothing is chosen yet. */
  private rest(): void {
    this.stop();
    this.point = null;
    fill(this.element, h("p", { class: "note" }, "Select a point, with the pointer or the arrow keys, to see its image."));
    delete this.element.dataset.point;
  }

  /** The point that it is about. */
  get shown(): number | null {
    return this.point;
  }

  /** Show what is known at once, and the picture with its map once nothing has moved for a moment. */
  show(point: number): void {
    const [run, points] = [this.run, this.points];
    if (!run || !points || point === this.point) return;
    this.stop();
    if (this.point === null)
      fill(this.element, run.has_images && this.view.element, this.trouble.element, this.words, this.buttons, this.near);
    this.point = point;
    const truth = points.classes[points.label_index[point]!];
    const said = points.classes[points.predicted_index[point]!]!;
    const sure = percent(points.confidence[point]!);
    const verdict = { 1: "right", 0: "wrong", [-1]: "" }[points.correct[point]!];
    fill(
      this.words,
      h("h3", {}, truth ?? said, verdict && h("span", { class: `verdict ${verdict}` }, verdict === "wrong" ? "✕ wrong" : "✓ correct")),
      h("p", {}, truth === undefined ? `Predicted as ${said}, ${sure}; no label.` : `Predicted as ${said}, ${sure}.`),
      h("p", { class: "note name" }, points.names[point]!),
    );
    const id = `s${points.indices[point]!}`;
    fill(
      this.buttons,
      ...(run.has_images ? ways(this.page, run, id, points.names[point]!) : []),
    );
    fill(this.near);
    this.trouble.clear();
    if (run.has_images) busy(this.element, true);
    this.ask(point);
  }

  stop(): void {
    this.turns.end();
    busy(this.element, false);
  }

  /** The tab was left: what has not come by now is asked for again when the point is shown the next time. */
  leave(): void {
    this.stop();
    if (this.element.dataset.point !== String(this.point) && this.points) this.rest();
  }

  private async fetch(point: number): Promise<void> {
    const [run, points] = [this.run, this.points];
    if (!run || !points || point !== this.point) return;
    const signal = this.turns.begin();
    try {
      await Promise.all([this.neighbours(run, points, point, signal), run.has_images && this.map(run, point, signal)]);
      if (point === this.point) this.element.dataset.point = String(point);
    } catch (error) {
      if (!signal.aborted) this.trouble.tell(error);
    } finally {
      if (this.turns.done(signal)) busy(this.element, false);
    }
  }

  private async map(run: RunInfo, point: number, signal: AbortSignal): Promise<void> {
    const id = `s${this.points!.indices[point]!}`;
    const image = await picture(id, SIDE);
    if (point !== this.point) return;
    this.view.set(image, null, lookOf(this.page), "the image");
    if (!run.served_model) return;
    const answer = await mapsOf(this.page, run, id, [], signal);
    if (point !== this.point) return;
    const made = answer.maps[0]!;
    this.view.set(image, Field.of(made, answer.geometry), lookOf(this.page), `${made.target}: ${made.method} at ${made.layer}`);
  }

  private async neighbours(run: RunInfo, points: Points, point: number, signal: AbortSignal): Promise<void> {
    const found = await get<Neighbours>(query("neighbours", { run: run.id, point, n: NEAR }), signal);
    if (point !== this.point) return;
    this.onnear?.(found.nearest.map((one) => one.point));
    if (!found.nearest.length) return;
    fill(
      this.near,
      h("h3", {}, "Nearest neighbours by features"),
      h(
        "div",
        { class: "strip" },
        ...found.nearest.map(({ point: other, cosine }) => {
          const label = points.classes[points.label_index[other]!] ?? points.classes[points.predicted_index[other]!]!;
          const unlike = points.label_index[other] !== points.label_index[point];
          return h(
            "button",
            {
              class: unlike ? "tile unlike" : "tile",
              title: `${points.names[other]}: ${label}, cosine ${cosine.toFixed(3)}${unlike ? ", another class" : ""}`,
              onclick: () => this.onchoose?.(other),
            },
            run.has_images
              ? h("img", { src: imageUrl(`s${points.indices[other]!}`, 128), alt: "", loading: "lazy" })
              : h("span", { class: "broken" }, "·"),
            h("span", {}, `${cosine.toFixed(2)} ${label}`),
          );
        }),
      ),
    );
  }
}
