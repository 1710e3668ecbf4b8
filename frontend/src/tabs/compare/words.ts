// What is found, in words: the headers of the grid, the lines under its maps, what a map is, what all have in common.

import type { MapOut } from "../../api/types";
import { chance, sized } from "../../numbers";
import { type Axis, differing } from "./cells";
import { DEFAULT, type Found } from "./found";
import type { Words } from "./grid";
import type { Cell } from "./wire";
import { isRank } from "./wish";

/** The header of a row or a column; of one model, where the row is about that one. */
export function heading(found: Found, axis: Axis, value: string, model?: string): Words {
  if (axis === "model") return ofModel(found, value);
  if (axis === "layer") return ofLayer(found, value);
  return axis === "method" ? { title: value } : ofTarget(found, value, model);
}

function ofModel({ opinions }: Found, value: string): Words {
  const best = opinions.find((one) => one.model === value)?.predictions[0];
  return best ? { title: value, below: `${best.name}, ${chance(best)}` } : { title: value };
}

function ofLayer({ pictured }: Found, value: string): Words {
  const here = pictured.filter((cell) => cell.layer === value);
  const sizes = [...new Set(here.map((cell) => size(cell.map!)))];
  return sizes.length === 1 ? { title: value, below: sizes[0]! } : { title: value };
}

function ofTarget({ opinions }: Found, value: string, model?: string): Words {
  const whose = opinions.filter((one) => !model || one.model === model);
  const known = whose.flatMap((one) => one.targets.filter((target) => target.key === value));
  const names = [...new Set(known.map((target) => target.name))];
  if (names.length !== 1) return { title: value, below: names.join(", ") };
  const guess = whose.length === 1 ? whose[0]!.predictions.find((one) => one.index === known[0]!.index) : undefined;
  const below = [isRank(value) ? value : "", guess ? chance(guess) : ""].filter(Boolean).join(", ");
  return below ? { title: names[0]!, below } : { title: names[0]! };
}

export const size = ({ map }: MapOut): string => sized([map.height, map.width]);

const score = (map: MapOut): string => `${map.score_kind.replace("_", " ")} ${map.score.toPrecision(3)}`;

/** The line under a map. */
export function caption(found: Found, cell: Cell): string {
  const map = cell.map!;
  const several = found.opinions.length > 1;
  const parts = [cell.target ? score(map) : "for every class"];
  if (several && isRank(cell.target)) parts.unshift(map.target);
  if (several && cell.layer === DEFAULT) parts.push(map.layer);
  return parts.join(" · ");
}

/** What tells it from the others. */
export function label(found: Found, cell: Cell): string {
  const of = (axis: Axis): string | null | undefined =>
    axis === "target" ? cell.target && cell.map!.target : cell[axis];
  return differing(found.pictured).map(of).filter(Boolean).join(" · ");
}

/** All that a map is. */
export function full(cell: Cell): string {
  const map = cell.map!;
  const layer = map.layer === "input" ? "the input" : map.layer;
  const about = cell.target ? [map.target, cell.model, score(map)] : ["every class", cell.model];
  return [cell.method, layer, ...about].join(", ");
}

/** What could not be asked for at all. */
export const missing = ({ wish }: Found, cell: Cell): string =>
  [wish.models.length > 1 ? cell.model : "", cell.layer ?? cell.target ?? ""].filter(Boolean).join(", ");

/** How many maps there are, and what they have in common. */
export function common(found: Found): string[] {
  const maps = found.pictured;
  const said = [`${maps.length} ${maps.length === 1 ? "map" : "maps"}`];
  const axes = differing(maps);
  const of: Record<Axis, () => string | null | undefined> = {
    model: () => maps[0]!.model,
    method: () => maps[0]!.method,
    layer: () => [...new Set(maps.filter((cell) => cell.layer).map((cell) => cell.map!.layer))].join(", "),
    target: () => maps.find((cell) => cell.target)?.map!.target,
  };
  if (maps.length)
    for (const axis of ["model", "method", "layer", "target"] as const) {
      const words = axes.includes(axis) ? "" : of[axis]();
      if (words) said.push(words);
    }
  return said;
}
