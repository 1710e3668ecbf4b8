// Which layer is mapped: a list of all layers, and the stages of the network as a strip with a slider.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { sized } from "../../numbers";
import { Slider } from "../../shared/controls";
import { LayerList, stagesOf } from "../../shared/layer_list";
import { useRovingFocus } from "../../shared/roving_focus";
import { isLayered, layersOf, mapsOneLayer, methodOfView, modelOf } from "../../state/app";
import { setView, view } from "../../state/view";

const select = (layer: string, push = true): void => setView({ layer }, push);

/** The name of the layer of the view, in the list of the model; the last one is the default. */
const selectedLayer = (): string => view.layer.value || (modelOf().layers.at(-1)?.name ?? "");

/** "layer3 · 12 × 12". */
function layerText(name: string): string {
  const grid = [...modelOf().layers, ...(layersOf().value ?? [])].find((layer) => layer.name === name && layer.grid)?.grid;
  return grid ? `${name} · ${sized(grid)}` : name;
}

export function LayerChoice() {
  const method = methodOfView();
  const name = selectedLayer();
  const open = useSignal(false);
  const list = useRef<HTMLDetailsElement>(null);
  useEffect(() => list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }), [open.value]);
  return (
    <section class="decision">
      <h3>Layer</h3>
      {mapsOneLayer(method) ? (
        <details class="all-layers" ref={list} open={open.value} onToggle={(event) => (open.value = event.currentTarget.open)}>
          <summary>
            <b>{layerText(name)}</b>
            {!view.layer.value && <span class="soft"> default</span>}
          </summary>
          {open.value && <LayerList selected={name} change={select} />}
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
  const isUsed = mapsOneLayer(methodOfView());
  const box = useRovingFocus<HTMLDivElement>("button");
  const name = selectedLayer();
  if (!layers.length) return null;
  const disabled = !isUsed || layers.length < 2;
  const at = stageIndex(name);
  const choose = (i: number, push: boolean): void => void (layers[i] && select(layers[i].name, push));
  const largest = Math.max(...layers.map((layer) => layer.grid?.[0] ?? 1));
  return (
    <section class="network" aria-label="The network">
      <Slider
        label="Layer"
        min={0}
        max={layers.length - 1}
        step={1}
        value={at}
        text={() => (isUsed ? layerText(name) : "not used")}
        change={(i) => choose(i, false)}
        done={(i) => choose(i, true)}
        disabled={disabled}
      />
      <div class="stages" role="toolbar" aria-label="Stages of the network" ref={box}>
        {layers.map(({ name: of, label, grid }, i) => {
          const channels = all.find((one) => one.name === of)?.channels;
          const size = grid ? sized(channels ? [...grid, channels] : grid) : "";
          return (
            <button
              key={of}
              class="stage-block"
              disabled={disabled}
              aria-pressed={!disabled && i === at}
              aria-label={`${of}, ${size}`}
              title={`${label}: activations of ${size || "unknown size"}. Click to map this layer.`}
              onClick={() => choose(i, true)}
            >
              <span class="block" style={{ height: `${10 + 30 * Math.sqrt((grid?.[0] ?? 1) / largest)}px` }} aria-hidden="true" />
              <span class="name">{of.length > 14 ? `…${of.slice(-13)}` : of}</span>
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
