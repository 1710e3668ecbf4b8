// All layers of a model with a grid: searchable, grouped by stage, with type and size, and whether the grid is verified.

import { useState } from "preact/hooks";
import type { LayerOut } from "../api/types";
import { counted, sized } from "../numbers";
import { layersOf } from "../state/app";
import { useRovingFocus } from "./roving_focus";
import { stagesOf } from "./stages_of";

export function LayerList(props: { selected: string; change: (name: string) => void }) {
  const [text, setText] = useState("");
  const [convolutions, setConvolutions] = useState(false);
  const layers = layersOf().value;
  const box = useRovingFocus<HTMLDivElement>("[role=option]");
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (layer: LayerOut): boolean =>
    (!convolutions || layer.is_convolution) && words.every((word) => `${layer.name} ${layer.type}`.toLowerCase().includes(word));
  const shown = (layers ?? []).filter(matches);
  const groups = stagesOf(layers ?? []);
  return (
    <div class="layer-list">
      <div class="row">
        <input
          type="search"
          aria-label="Search layers by name or type"
          placeholder="name or type"
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <label class="check">
          <input type="checkbox" checked={convolutions} onChange={(event) => setConvolutions(event.currentTarget.checked)} />
          <span>only convolutions</span>
        </label>
      </div>
      <p class="note" role="status">
        {layers ? `${shown.length} of ${counted(layers.length, "layer")}` : "Verifying the layers …"}
      </p>
      <div class="layers" role={shown.length ? "listbox" : undefined} aria-label="Layers" ref={box}>
        {[...groups].map(([stage, members]) => {
          const rows = members.filter(matches);
          if (!rows.length) return null;
          return (
            <div role="group" aria-label={stage} key={stage}>
              <p class="stage" aria-hidden="true">
                {stage}
              </p>
              {rows.map((layer) => (
                <Row key={layer.name} layer={layer} selected={layer.name === props.selected} change={props.change} />
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}

const GEOMETRY: Record<LayerOut["geometry"], [sign: string, words: string]> = {
  convolution: ["✓", "verified: the grid was made by convolutions and pooling"],
  measured: ["✓", "verified: the response follows a patch that moves over the image"],
  "not verified": ["?", "not verified: all positions respond alike"],
};

function Row(props: { layer: LayerOut; selected: boolean; change: (name: string) => void }) {
  const { layer, selected, change } = props;
  const [sign, words] = GEOMETRY[layer.geometry];
  const size = `${sized(layer.grid)} × ${layer.channels}`;
  return (
    <button
      role="option"
      class="layer"
      aria-selected={selected}
      aria-label={`${layer.name}, ${layer.type}, ${size}, ${words}`}
      title={words}
      onClick={() => change(layer.name)}
    >
      <span class="name">
        {layer.name}
        {layer.is_recommended && <span class="soft"> ●</span>}
      </span>
      <span class="soft">{layer.type}</span>
      <span class="number">{size}</span>
      <span class={layer.geometry === "not verified" ? "unverified" : "verified"}>{sign}</span>
    </button>
  );
}
