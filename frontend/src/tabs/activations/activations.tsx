// Activations: the channels of a layer on an image, the largest contributions first; one of them large, with its top images.

import "../../styles/activations.css";
import { useState } from "preact/hooks";
import { layerOptions, Select, Slider } from "../../shared/controls";
import { debounce } from "../../shared/debounce";
import { ImagePicker } from "../../shared/image_picker";
import { ModelPicker } from "../../shared/method_picker";
import { OpacitySlider } from "../../shared/opacity_slider";
import { Pending } from "../../shared/pending";
import { Predictions } from "../../shared/predictions";
import { Waiting } from "../../shared/progress_bar";
import { type Segment, SegmentedControl } from "../../shared/segmented_control";
import { modelOf } from "../../state/app";
import { mapStyle, setView, tabValue, view } from "../../state/view";
import { ChannelDialog } from "./channel_dialog";
import { channelLook, ChannelSheet } from "./channel_sheet";
import { isSharedScale, layerMaximum, ORDERS, setValues, SLICE, subjectOfView, Summary, useChannels } from "./channels";

const DISPLAYS: { label: string; name: string; segments: readonly Segment[] }[] = [
  { label: "Show", name: "show", segments: [["", "Overlay"], ["map", "Map only"]] },
  { label: "Scale", name: "scale", segments: [["", "Per channel"], ["one", "Shared"]] },
];

export function Activations() {
  const order = ORDERS.find((one) => one.value === tabValue("activations.order"))?.value ?? "contribution";
  const subject = subjectOfView();
  const { request, sheet, grow, isFirst } = useChannels(subject, order);
  const [drawn, setDrawn] = useState("");
  const answer = sheet?.answer;
  const count = sheet?.tiles.length ?? 0;
  const channel = tabValue("activations.channel");
  const over = tabValue("activations.show") !== "map";
  const drawnText = answer ? `${answer.image} ${answer.layer} ${answer.target} ${answer.order} ${count}` : "";
  return (
    <div class="activations-tab" data-drawn={drawn && drawn === drawnText ? drawn : undefined}>
      <aside class="pictures" aria-label="Images"><ImagePicker /></aside>
      <div class="middle">
        {!subject.image && <p class="note">Select an image to see its activations.</p>}
        {subject.image && !sheet && !request.error && <Waiting what="Computing the activations" />}
        {sheet && <Summary sheet={sheet} />}
        {sheet && answer && (
          <ChannelSheet
            sheet={sheet}
            style={{
              look: channelLook(mapStyle.value, answer.min_activation < 0),
              over,
              faint: true,
              top: isSharedScale() ? layerMaximum(answer) : 0,
            }}
            busy={request.busy && isFirst}
            drawn={() => setDrawn(drawnText)}
          />
        )}
        <div class="more">
          <Pending requests={[request]} />
          {answer && count < answer.total && (
            <button disabled={request.busy} onClick={grow}>
              {`Show ${Math.min(SLICE, answer.total - count)} more of ${answer.total} channels`}
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
        <Select
          label="Order by"
          value={order}
          options={ORDERS}
          change={(by) => setValues({ order: by === "contribution" ? null : by })}
        />
        {DISPLAYS.map(({ label, name, segments }) => (
          <SegmentedControl
            key={name}
            visible
            label={label}
            segments={segments}
            value={tabValue(`activations.${name}`)}
            change={(value) => setValues({ [name]: value })}
          />
        ))}
        <OpacitySlider disabled={!over} />
        <button class="across" onClick={() => setView({ tab: "explain" }, true)}>Explain at this layer</button>
      </aside>
      {sheet && /^\d+$/.test(channel) && <ChannelDialog sheet={sheet} subject={subject} channel={Number(channel)} grow={grow} />}
    </div>
  );
}

const selectSoon = debounce(120, (layer: string) => setView({ layer }, true));

function LayerControls() {
  const { layers } = modelOf();
  const name = view.layer.value || (layers.at(-1)?.name ?? "");
  const options = layerOptions(layers);
  if (!options.some((option) => option.value === name)) options.unshift({ value: name, text: name });
  const at = layers.findIndex((layer) => layer.name === name);
  const [moving, setMoving] = useState<number | null>(null);
  const move = (i: number): void => {
    setMoving(i);
    selectSoon(layers[i]!.name);
  };
  return (
    <>
      <Select label="Layer" value={name} options={options} change={(layer) => setView({ layer }, true)} />
      <div class="scrub">
        <Slider
          label="From edges to objects"
          max={layers.length - 1}
          step={1}
          value={moving ?? (at < 0 ? layers.length - 1 : at)}
          text={(i) => layers[i]?.label ?? ""}
          disabled={layers.length < 2}
          change={move}
          done={() => setMoving(null)}
        />
      </div>
    </>
  );
}
