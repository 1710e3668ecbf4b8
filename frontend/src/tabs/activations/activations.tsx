// Activations: the channels of a layer on an image, the largest contributions first; one of them large, with its top images.

import "../../styles/activations.css";
import { useState } from "preact/hooks";
import { layerOptions, Select, Slider } from "../../shared/controls";
import { debounce } from "../../shared/debounce";
import { ErrorMessage } from "../../shared/error_message";
import { ImagePicker } from "../../shared/image_picker";
import { ModelPicker } from "../../shared/method_picker";
import { OpacitySlider } from "../../shared/opacity_slider";
import { Predictions } from "../../shared/predictions";
import { Waiting } from "../../shared/progress_bar";
import { SegmentedControl } from "../../shared/segmented_control";
import { modelOf } from "../../state/app";
import { mapStyle, setTabValues, setView, tabValue, view } from "../../state/view";
import { ChannelDialog } from "./channel_dialog";
import { channelLook, type Style } from "./channel_drawing";
import { ChannelSheet } from "./channel_sheet";
import { type Channels, ORDERS, subjectOfView } from "./schemas";
import { layerMaximum, Summary } from "./summary";
import { SLICE, useChannels } from "./use_channels";

const set = (name: string, value: string | null): void => setTabValues({ [`activations.${name}`]: value });

export const isSharedScale = (): boolean => tabValue("activations.scale") === "one";

export function Activations() {
  const order = ORDERS.find((one) => one.value === tabValue("activations.order"))?.value ?? "contribution";
  const subject = subjectOfView();
  const { first, sheet, grow, more } = useChannels(subject, order);
  const [drawn, setDrawn] = useState("");
  const answer = sheet?.answer;
  const shared = isSharedScale();
  const channel = tabValue("activations.channel");
  const drawnText = answer ? `${answer.image} ${answer.layer} ${answer.target} ${answer.order} ${sheet!.tiles.length}` : "";
  return (
    <div class="activations-tab" data-drawn={drawn && drawn === drawnText ? drawn : undefined}>
      <aside class="pictures" aria-label="Images">
        <ImagePicker />
      </aside>
      <div class="middle">
        {!sheet && !first.error && (subject.image ? <Waiting what="Computing the activations" /> : <p class="note">Select an image to see its activations.</p>)}
        {sheet && <Summary sheet={sheet} shared={shared} />}
        {sheet && (
          <ChannelSheet
            sheet={sheet}
            style={styleOf(sheet.answer, shared)}
            busy={first.busy}
            open={(n) => set("channel", String(n))}
            drawn={() => setDrawn(drawnText)}
          />
        )}
        <div class="more">
          <ErrorMessage error={first.error ?? more.error} retry={first.error ? first.retry : () => void grow()} />
          {sheet && sheet.tiles.length < sheet.answer.total && (
            <button disabled={more.busy} onClick={() => void grow()}>
              {`Show ${Math.min(SLICE, sheet.answer.total - sheet.tiles.length)} more of ${sheet.answer.total} channels`}
            </button>
          )}
        </div>
      </div>
      <aside class="controls" aria-label="Settings">
        {answer && (
          <Predictions
            predictions={answer.predictions}
            selected={answer.index}
            change={(index) => setView({ target: String(index) }, true)}
          />
        )}
        <ModelPicker />
        <LayerControls />
        <Select label="Order by" value={order} options={ORDERS} change={(by) => set("order", by === "contribution" ? null : by)} />
        <SegmentedControl
          visible
          label="Show"
          segments={[
            ["", "Overlay"],
            ["map", "Map only"],
          ]}
          value={tabValue("activations.show")}
          change={(show) => set("show", show)}
        />
        <SegmentedControl
          visible
          label="Scale"
          segments={[
            ["", "Per channel"],
            ["one", "Shared"],
          ]}
          value={tabValue("activations.scale")}
          change={(scale) => set("scale", scale)}
        />
        <OpacitySlider disabled={tabValue("activations.show") === "map"} />
        <button class="across" onClick={() => setView({ tab: "explain" }, true)}>
          Explain at this layer
        </button>
      </aside>
      {sheet && /^\d+$/.test(channel) && (
        <ChannelDialog sheet={sheet} subject={subject} channel={Number(channel)} select={(n) => set("channel", n === null ? null : String(n))} grow={grow} />
      )}
    </div>
  );
}

function styleOf(answer: Channels, shared: boolean): Style {
  const look = channelLook(mapStyle.value, answer.min_activation < 0);
  return { look, over: tabValue("activations.show") !== "map", faint: true, top: shared ? layerMaximum(answer) : 0 };
}

const selectSoon = debounce(120, (layer: string) => setView({ layer }, true));

function LayerControls() {
  const { layers } = modelOf();
  const name = view.layer.value || (layers.at(-1)?.name ?? "");
  const options = layerOptions(layers);
  if (!options.some((option) => option.value === name)) options.unshift({ value: name, text: name });
  const at = layers.findIndex((layer) => layer.name === name);
  const [moving, setMoving] = useState<number | null>(null);
  const shown = moving ?? (at < 0 ? layers.length - 1 : at);
  return (
    <>
      <Select label="Layer" value={name} options={options} change={(layer) => setView({ layer }, true)} />
      <div class="scrub">
        <Slider
          label="From edges to objects"
          max={layers.length - 1}
          step={1}
          value={shown}
          text={(i) => layers[i]?.label ?? ""}
          disabled={layers.length < 2}
          change={(i) => {
            setMoving(i);
            selectSoon(layers[i]!.name);
          }}
          done={() => setMoving(null)}
        />
      </div>
    </>
  );
}
