// The stage that each layer of a model belongs to.

import type { LayerOut } from "../api/types";

/** Layers by stage, in order. A stage is a recommended block with all that is in it, or what leads to a recommended layer. */
export function stagesOf(layers: readonly LayerOut[]): Map<string, LayerOut[]> {
  const isBlock = (name: string): boolean => layers.some((layer) => layer.name.startsWith(`${name}.`));
  const blocks = layers.filter((layer) => layer.is_recommended && isBlock(layer.name)).map((layer) => layer.name);
  const groups = new Map<string, LayerOut[]>();
  layers.forEach((layer, i) => {
    const around = blocks.filter((name) => layer.name === name || layer.name.startsWith(`${name}.`));
    const next = layers.slice(i).find((later) => later.is_recommended)?.name;
    const stage =
      around.sort((a, b) => b.length - a.length)[0] ??
      (next === undefined ? "after the last stage" : `${isBlock(next) ? "before" : "up to"} ${next}`);
    groups.set(stage, [...(groups.get(stage) ?? []), layer]);
  });
  return groups;
}
