// The results in words: headings of the grid, captions of maps, what a map is, what all have in common.

import type { MapOut } from "../../api/types";
import { chance, percent, short, sized } from "../../numbers";
import { methodName } from "../../shared/method_names";
import { DEFAULT, type Results } from "./results";
import type { Cell } from "./schemas";
import { isRank } from "./selection";
import { type Axis, differing, type Layout } from "./table_layout";

/** A heading: the value, and a line below it. */
export interface Heading {
  title: string;
  below?: string;
  /** The id of a method. */
  id?: string;
}

/** The heading of a value of an axis; of one model, where a row is about that one. */
export type HeadingOf = (axis: Axis, value: string, model?: string) => Heading;

export const headingOf =
  (results: Results): HeadingOf =>
  (axis, value, model) => {
    if (axis === "model") return ofModel(results, value);
    if (axis === "layer") return ofLayer(results, value);
    return axis === "method" ? { title: methodName(value), id: value } : ofTarget(results, value, model);
  };

/** The headings of a row. */
export function rowHeadings(layout: Layout, row: number, of: HeadingOf): Heading[] {
  const values = layout.rows[row]!;
  const model = values[layout.down.indexOf("model")] ?? undefined;
  return values.flatMap((value, d) => (value === null ? [] : [of(layout.down[d]!, value, model)]));
}

function ofModel({ models }: Results, value: string): Heading {
  const best = models.find((one) => one.model === value)?.predictions[0];
  return best ? { title: value, below: `${best.name}, ${chance(best)}` } : { title: value };
}

function ofLayer({ withMap }: Results, value: string): Heading {
  const sizes = [...new Set(withMap.filter((cell) => cell.layer === value).map((cell) => sizeOf(cell.map!)))];
  return sizes.length === 1 ? { title: value, below: sizes[0]! } : { title: value };
}

function ofTarget({ models }: Results, value: string, model?: string): Heading {
  const here = models.filter((one) => !model || one.model === model);
  const known = here.flatMap((one) => one.targets.filter((target) => target.key === value));
  const names = [...new Set(known.map((target) => target.name))];
  if (names.length !== 1) return { title: value, below: names.join(", ") };
  const prediction = here.length === 1 ? here[0]!.predictions.find((one) => one.index === known[0]!.index) : undefined;
  const below = [isRank(value) ? value : "", prediction ? chance(prediction) : ""].filter(Boolean).join(", ");
  return below ? { title: names[0]!, below } : { title: names[0]! };
}

export const sizeOf = ({ map }: MapOut): string => sized([map.height, map.width]);

const scoreOf = (map: MapOut): string => `${map.score_kind.replace("_", " ")} ${short(map.score)}`;

/** A map below this fraction of the strongest one in its unit is remarked on. */
const WEAK = 0.1;

/** The line under a map. `shared`: it is drawn on the scale of its unit. */
export function captionOf(results: Results, cell: Cell, shared: boolean): string {
  const map = cell.map!;
  const several = results.models.length > 1;
  const parts = [cell.target ? scoreOf(map) : "for every class"];
  if (several && isRank(cell.target)) parts.unshift(map.target);
  if (several && cell.layer === DEFAULT) parts.push(map.layer);
  const strength = shared ? null : results.strength(cell);
  if (strength !== null && strength < WEAK) parts.push(`${percent(strength)} as strong`);
  return parts.join(" · ");
}

/** What distinguishes a map from the others. */
export function labelOf(results: Results, cell: Cell): string {
  const of = (axis: Axis): string | null | undefined => {
    if (axis === "method") return methodName(cell.method!);
    return axis === "target" ? cell.target && cell.map!.target : cell[axis];
  };
  return differing(results.withMap).map(of).filter(Boolean).join(" · ");
}

/** All that a map is. */
export function fullLabelOf(cell: Cell): string {
  const map = cell.map!;
  const layer = map.layer === "input" ? "the input" : map.layer;
  const about = cell.target ? [map.target, cell.model, scoreOf(map)] : ["every class", cell.model];
  return [methodName(cell.method!), layer, ...about].join(", ");
}

/** What could not be requested at all. */
export const missingOf = ({ selection }: Results, cell: Cell): string =>
  [selection.models.length > 1 ? cell.model : "", cell.layer ?? cell.target ?? ""].filter(Boolean).join(", ");

/** The number of maps, and what they have in common. */
export function commonOf(results: Results): string[] {
  const maps = results.withMap;
  const said = [`${maps.length} ${maps.length === 1 ? "map" : "maps"}`];
  if (!maps.length) return said;
  const axes = differing(maps);
  const of: Record<Axis, () => string | null | undefined> = {
    model: () => maps[0]!.model,
    method: () => methodName(maps[0]!.method!),
    layer: () => [...new Set(maps.filter((cell) => cell.layer).map((cell) => cell.map!.layer))].join(", "),
    target: () => maps.find((cell) => cell.target)?.map!.target,
  };
  const shared = (["model", "method", "layer", "target"] as const).map((axis) => (axes.includes(axis) ? "" : of[axis]()));
  return [...said, ...shared.filter((words): words is string => Boolean(words))];
}
