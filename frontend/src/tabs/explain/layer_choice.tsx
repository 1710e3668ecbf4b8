// Which layer is mapped: a list of all layers, and the stages of the network as a strip with a slider.

import { useEffect, useRef, useState } from "preact/hooks";
import { sized } from "../../numbers";
import { Slider } from "../../shared/controls";
import { LayerList } from "../../shared/layer_list";
import { useRovingFocus } from "../../shared/roving_focus";
import { stagesOf } from "../../shared/stages_of";
import { fusesLayers, isLayered, layersOf, mapsOneLayer, methodOfView, modelOf } from "../../state/app";
import { setView, view } from "../../state/view";

const select = (layer: string, push = true): void => setView({ layer }, push);

/** The name of the layer of the view, in the list of the model; the last one is the default. */
function selectedLayer(): string {
  const { layers } = modelOf();
  return view.layer.value || (layers[layers.length - 1]?.name ?? "");
}

/** "layer3 · 12 × 12". */
function layerText(name: string): string {
  const grid = modelOf().layers.find((layer) => layer.name === name)?.grid ?? layersOf().value?.find((l) => l.name === name)?.grid;
  return grid ? `${name} · ${sized(grid)}` : name;
}

export function LayerChoice() {
  const method = methodOfView();
  const name = selectedLayer();
  const [open, setOpen] = useState(false);
  const list = useRef<HTMLDetailsElement>(null);
  useEffect(() => list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [open]);
  return (
    <section class="decision">
      <h3>Layer</h3>
      {mapsOneLayer(method) ? (
        <details class="all-layers" ref={list} open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>
            <b>{layerText(name)}</b>
            {!view.layer.value && <span class="soft"> default</span>}
          </summary>
          {open && <LayerList selected={name} change={select} />}
        </details>
      ) : (
        <p class="note">
          {isLayered(method)
            ? "This method fuses all recommended layers into one map."
            : "This method explains the input directly and uses no layer."}
        </p>
      )}
    </section>
  );
}

/** The stages of the network with the size of their activations; where the map is being taken is marked. */
export function NetworkStrip() {
  const { layers } = modelOf();
  const all = layersOf().value ?? [];
  const method = methodOfView();
  const box = useRovingFocus<HTMLDivElement>("button");
  const name = selectedLayer();
  if (!layers.length) return null;
  const disabled = !mapsOneLayer(method) || layers.length < 2;
  const at = stageIndex(name);
  const choose = (i: number, push: boolean): void => void (layers[i] && select(layers[i].name, push));
  const text = !isLayered(method) || fusesLayers(method) ? "not used" : layerText(name);
  const largest = Math.max(...layers.map((layer) => layer.grid?.[0] ?? 1));
  return (
    <section class="network" aria-label="The network">
      <Slider
        label="Layer"
        min={0}
        max={layers.length - 1}
        step={1}
        value={at}
        text={() => text}
        change={(i) => choose(i, false)}
        done={(i) => choose(i, true)}
        disabled={disabled}
      />
      <div class="stages" role="toolbar" aria-label="Stages of the network" ref={box}>
        {layers.map((layer, i) => {
          const channels = all.find((one) => one.name === layer.name)?.channels;
          const size = layer.grid ? sized(channels ? [...layer.grid, channels] : layer.grid) : "";
          const height = 10 + 30 * Math.sqrt((layer.grid?.[0] ?? 1) / largest);
          return (
            <button
              key={layer.name}
              class="stage-block"
              disabled={disabled}
              aria-pressed={!disabled && i === at}
              aria-label={`${layer.name}, ${size}`}
              title={`${layer.label}: activations of ${size || "unknown size"}. Click to map this layer.`}
              onClick={() => choose(i, true)}
            >
              <span class="block" style={{ height: `${height}px` }} aria-hidden="true" />
              <span class="name">{shortName(layer.name)}</span>
              <span class="soft size">{size}</span>
            </button>
          );
        })}
      </div>
      <div class="ends" aria-hidden="true">
        <span>edges</span>
        <span>objects</span>
      </div>
    </section>
  );
}

/** The recommended layer that a layer is, or is in, or comes before; the last one if there is none. */
function stageIndex(name: string): number {
  const { layers } = modelOf();
  const exact = layers.findIndex((layer) => layer.name === name || layer.label === name);
  if (exact >= 0) return exact;
  const inside = layers.findIndex((layer) => name.startsWith(`${layer.name}.`));
  if (inside >= 0) return inside;
  const stage = [...stagesOf(layersOf().value ?? [])].find(([, members]) => members.some((one) => one.name === name))?.[0];
  const before = layers.findIndex((layer) => stage?.endsWith(` ${layer.name}`));
  return before >= 0 ? before : layers.length - 1;
}

/** The last parts of a long name. */
const shortName = (name: string): string => (name.length > 14 ? `…${name.slice(-13)}` : name);
