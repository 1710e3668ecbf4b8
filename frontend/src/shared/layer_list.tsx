// All layers of a model with a grid: searchable, grouped by stage, with type and size, and whether the grid is verified.

import { useSignal } from "@preact/signals";
import type { LayerOut } from "../api/types";
import { counted, sized } from "../numbers";
import { layersOf } from "../state/app";
import { CheckBox } from "./controls";
import { useRovingFocus } from "./roving_focus";

const GEOMETRY: Record<LayerOut["geometry"], [sign: string, words: string]> = {
  convolution: ["✓", "verified: the grid was made by convolutions and pooling"],
  measured: ["✓", "verified: the response follows a patch that moves over the image"],
  "not verified": ["?", "not verified: all positions respond alike"],
};

export function LayerList({ selected, change }: { selected: string; change: (name: string) => void }) {
  const text = useSignal("");
  const onlyConvolutions = useSignal(false);
  const layers = layersOf().value;
  const box = useRovingFocus<HTMLDivElement>("[role=option]");
  const words = text.value.toLowerCase().split(/\s+/);
  const shown = (layers ?? []).filter(
    ({ name, type, is_convolution }) =>
      (is_convolution || !onlyConvolutions.value) && words.every((word) => `${name} ${type}`.toLowerCase().includes(word)),
  );
  const row = ({ name, type, grid, channels, geometry, is_recommended }: LayerOut) => {
    const [sign, state] = GEOMETRY[geometry];
    const size = `${sized(grid)} × ${channels}`;
    return (
      <button
        key={name}
        role="option"
        class="layer"
        aria-selected={name === selected}
        aria-label={`${name}, ${type}, ${size}, ${state}`}
        title={state}
        onClick={() => change(name)}
      >
        <span class="name">{name}{is_recommended && <span class="soft"> ●</span>}</span>
        <span class="soft">{type}</span>
        <span class="number">{size}</span>
        <span class={geometry === "not verified" ? "unverified" : "verified"}>{sign}</span>
      </button>
    );
  };
  const stages = [...stagesOf(layers ?? [])].map(([stage, members]) => [stage, members.filter((layer) => shown.includes(layer))] as const);
  return (
    <div class="layer-list">
      <div class="row">
        <input
          type="search"
          aria-label="Search layers by name or type"
          placeholder="name or type"
          spellcheck={false}
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
        <CheckBox label="only convolutions" checked={onlyConvolutions.value} change={(checked) => (onlyConvolutions.value = checked)} />
      </div>
      <p class="note" role="status">
        {layers ? `${shown.length} of ${counted(layers.length, "layer")}` : "Verifying the layers …"}
      </p>
      <div class="layers" role={shown.length ? "listbox" : undefined} aria-label="Layers" ref={box}>
        {stages.map(([stage, members]) => members.length > 0 && (
          <div role="group" aria-label={stage} key={stage}>
            <p class="stage" aria-hidden="true">{stage}</p>
            {members.map(row)}
          </div>
        ))}
      </div>
    </div>
  );
}

/** Layers by stage, in order. A stage is a recommended block with all that is in it, or what leads to a recommended layer. */
export function stagesOf(layers: readonly LayerOut[]): Map<string, LayerOut[]> {
  const isIn = (name: string, block: string): boolean => name.startsWith(`${block}.`);
  const isBlock = (name: string): boolean => layers.some((layer) => isIn(layer.name, name));
  const blocks = layers.filter((layer) => layer.is_recommended && isBlock(layer.name)).map((layer) => layer.name);
  const groups = new Map<string, LayerOut[]>();
  layers.forEach((layer, i) => {
    const around = blocks.filter((name) => layer.name === name || isIn(layer.name, name));
    const next = layers.slice(i).find((later) => later.is_recommended)?.name;
    const leads = next === undefined ? "after the last stage" : `${isBlock(next) ? "before" : "up to"} ${next}`;
    const stage = around.sort((a, b) => b.length - a.length)[0] ?? leads;
    groups.set(stage, [...(groups.get(stage) ?? []), layer]);
  });
  return groups;
}
