// The results in words: headings of the grid, captions of maps, what a map is, what all have in common.

import type { MapOut } from "../../api/types";
import { chance, counted, percent, short, sized } from "../../numbers";
import { methodName } from "../../shared/method_names";
import { type Cell, DEFAULT, type Results } from "./results";
import { isRank } from "./selection";
import { type Axis, differing, type Layout } from "./table_layout";

/** A heading: the value, and a line below it. */
export interface Heading {
  title: string;
  below?: string | undefined;
  id?: string;
}

/** The heading of a value of an axis; of one model, where a row is about that one. */
export function headingOf(results: Results, axis: Axis, value: string, model?: string): Heading {
  const { models, withMap } = results;
  if (axis === "method") return { title: methodName(value), id: value };
  if (axis === "model") {
    const best = models.find((one) => one.model === value)?.predictions[0];
    return { title: value, below: best && `${best.name}, ${chance(best)}` };
  }
  if (axis === "layer") {
    const sizes = new Set(withMap.filter((cell) => cell.layer === value).map((cell) => sizeOf(cell.map!)));
    return { title: value, below: sizes.size === 1 ? [...sizes][0] : "" };
  }
  const here = models.filter((one) => !model || one.model === model);
  const known = here.flatMap((one) => one.targets.filter((target) => target.key === value));
  const names = [...new Set(known.map((target) => target.name))];
  if (names.length !== 1) return { title: value, below: names.join(", ") };
  const prediction = here.length === 1 ? here[0]!.predictions.find((one) => one.index === known[0]!.index) : undefined;
  return { title: names[0]!, below: [isRank(value) && value, prediction && chance(prediction)].filter(Boolean).join(", ") };
}

export const columnHeadings = (results: Results, { across, columns }: Layout): Heading[] =>
  columns.map((value) => headingOf(results, across, value));

export function rowHeadings(results: Results, { rows, down }: Layout, row: number): Heading[] {
  const values = rows[row]!;
  const model = values[down.indexOf("model")] ?? undefined;
  return values.flatMap((value, d) => (value === null ? [] : [headingOf(results, down[d]!, value, model)]));
}

export const sizeOf = ({ map }: MapOut): string => sized([map.height, map.width]);

const scoreOf = (map: MapOut): string => `${map.score_kind.replace("_", " ")} ${short(map.score)}`;

/** A map below this fraction of the strongest one in its unit is remarked on. */
const WEAK = 0.1;

/** The line under a map. `shared`: it is drawn on the scale of its unit. */
export function captionOf(results: Results, cell: Cell, shared: boolean): string {
  const map = cell.map!;
  const several = results.models.length > 1;
  const strength = shared ? null : results.strength(cell);
  const parts = [
    several && isRank(cell.target) && map.target,
    cell.target ? scoreOf(map) : "for every class",
    several && cell.layer === DEFAULT && map.layer,
    strength !== null && strength < WEAK && `${percent(strength)} as strong`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** What distinguishes a map from the others. */
export function labelOf(results: Results, cell: Cell): string {
  const names: Partial<Record<Axis, unknown>> = {
    ...cell,
    method: methodName(cell.method!),
    target: cell.target && cell.map!.target,
  };
  return differing(results.withMap).map((axis) => names[axis]).filter(Boolean).join(" · ");
}

/** All that a map is. */
export function fullLabelOf(cell: Cell): string {
  const map = cell.map!;
  const layer = map.layer === "input" ? "the input" : map.layer;
  const about = cell.target ? [map.target, cell.model, scoreOf(map)] : ["every class", cell.model];
  return [methodName(cell.method!), layer, ...about].join(", ");
}

/** The number of maps, and what they have in common. */
export function commonOf(results: Results): string[] {
  const maps = results.withMap;
  const axes = differing(maps);
  const layers = new Set(maps.filter((cell) => cell.layer).map((cell) => cell.map!.layer));
  const common = {
    model: maps[0]?.model,
    method: maps[0] && methodName(maps[0].method!),
    layer: [...layers].join(", "),
    target: maps.find((cell) => cell.target)?.map!.target,
  };
  const words = Object.entries(common).filter(([axis, text]) => text && !axes.includes(axis as Axis));
  return [counted(maps.length, "map"), ...words.map(([, text]) => text!)];
}
