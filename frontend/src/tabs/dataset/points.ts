// Points of an embedding by class, correctness or confidence: the lines of the legend.

import { app } from "../../state/app";
import type { Points } from "./schemas";

export type ColourBy = "truth" | "said" | "right" | "confidence";
export const COLOUR_BY: { value: ColourBy; text: string }[] = [
  { value: "truth", text: "true class" },
  { value: "said", text: "predicted class" },
  { value: "right", text: "correct or wrong" },
  { value: "confidence", text: "confidence" },
];
/** Networks are mostly confident: the steps are finer at the top. */
const CONFIDENCE_STEPS = [0, 0.5, 0.8, 0.95, 0.99, 1];

/** A line of the legend. */
export interface Group {
  name: string;
  colour: string;
  points: number[];
}

/** By class if classes can be distinguished by colour. */
export function defaultColouring(found: Points): ColourBy {
  const many = new Set(found.label_index).size > found.colours.length;
  return found.correct.every((one) => one === -1) ? "said" : many ? "right" : "truth";
}

export function groupsOf(found: Points, by: ColourBy): Group[] {
  const where = (fits: (i: number) => boolean): number[] => [...found.x.keys()].filter(fits);
  if (by === "truth") return byClass(found, found.label_index);
  if (by === "said") return byClass(found, found.predicted_index);
  const groups =
    by === "right"
      ? [
          { name: "correct", colour: "--second", points: where((i) => found.correct[i] === 1) },
          { name: "wrong", colour: "--first", points: where((i) => found.correct[i] === 0) },
          { name: "no label", colour: "--soft", points: where((i) => found.correct[i] === -1) },
        ]
      : CONFIDENCE_STEPS.slice(1).map((high, step) => {
          const low = CONFIDENCE_STEPS[step]!;
          const at = 3 * Math.round(((step + 0.5) / (CONFIDENCE_STEPS.length - 1)) * 1024);
          const colour = `rgb(${app.painter.table("viridis").slice(at, at + 3).join(" ")})`;
          const inside = (value: number): boolean => value >= low && (value < high || high === 1);
          return { name: `${100 * low} to ${100 * high} %`, colour, points: where((i) => inside(found.confidence[i]!)) };
        });
  return groups.filter((group) => group.points.length);
}

/** The largest classes have colours of their own, the others share grey. */
function byClass(found: Points, classes: readonly number[]): Group[] {
  const members = new Map<number, number[]>();
  classes.forEach((index, i) => members.set(index, [...(members.get(index) ?? []), i]));
  const sorted = [...members].sort(([a, one], [b, other]) => other.length - one.length || a - b);
  const n = sorted.length <= found.colours.length ? sorted.length : found.colours.length - 1;
  const groups = sorted.slice(0, n).map(([index, points], i) => ({
    name: found.classes[index] ?? "no label",
    colour: index === -1 ? "--soft" : `#${found.colours[i]!}`,
    points,
  }));
  const rest = sorted.slice(n).flatMap(([, points]) => points);
  if (rest.length) groups.push({ name: `${sorted.length - n} other classes`, colour: "--soft", points: rest });
  return groups;
}
