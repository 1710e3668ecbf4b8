// What is compared: classes; boxes, regions or words of the image, which can be clicked; texts.

import { loadImage } from "../../api/images";
import type { ModelChoice } from "../../api/types";
import type { Option } from "../../shared/controls";
import { matchingClasses } from "../../shared/class_search";
import { MapView } from "../../shared/map_view";
import { useRequest } from "../../shared/use_request";
import { WHOLE } from "../../shared/zoom";
import { app, say } from "../../state/app";
import { HEADINGS, TargetList } from "../explain/target_choice";
import { REACH_PX, TargetMarks } from "../explain/target_marks";
import { isPrompt, promptOf } from "../explain/target_text";
import { kindOf, shapeAt, type Targets, useShapes } from "../explain/targets";
import { MultiSelect } from "./multi_select";
import type { Results } from "./results";
import { RANKS, type Selection } from "./selection";

/** Up to this number of classes they are listed; more are searched. */
const MAX_LISTED = 30;
/** The longer side of the image with the targets, in its own pixels. */
const SIDE_PX = 256;

interface Props {
  /** The first model, and its targets in the image. */
  model: ModelChoice;
  targets: Targets | null;
  selection: Selection;
  results: Results | null;
  change: (values: string[]) => void;
}

export function TargetSelect(props: Props) {
  const { model, targets, selection } = props;
  const kind = kindOf(targets, model);
  if (!kind) return <ClassSelect {...props} kind="" label="Classes" keys={selection.targets} />;
  if (kind === "image-text") return <TextSelect {...props} />;
  return targets ? <ImageTargetSelect {...props} kind={kind} targets={targets} /> : <p class="note">Looking for targets …</p>;
}

const PLACEHOLDERS: Record<string, string> = {
  detection: "or type one: dog at 120,80",
  segmentation: "or type one: class:dog at 120,80",
  caption: "type one: word 2: cat rather than dog",
};

/** Classes by rank and by name; in models with image targets, those of the whole image, and targets as text. */
function ClassSelect(props: Props & { kind: string; label: string; keys: readonly string[] }) {
  const { kind, model, selection, results, change, label, keys } = props;
  const { labels } = model;
  const named = (index: number): Option => ({ value: String(index), text: labels[index] ?? `class ${index}` });
  // "predicted: mug", as soon as that is known.
  const ranked = (key: string): string => {
    const name = results?.models.length === 1 && results.models[0]!.targets.find((target) => target.key === key)?.name;
    return name && name !== key ? `${key}: ${name}` : key;
  };
  const others = selection.targets.filter((key) => !keys.includes(key));
  const hasClasses = kind !== "caption";
  const listed = labels.length <= MAX_LISTED ? labels.map((_, index) => ({ ...named(index), group: "by name" })) : [];
  return (
    <MultiSelect
      label={label}
      selected={keys.map((key) => (/^\d+$/.test(key) ? named(Number(key)) : { value: key, text: ranked(key) }))}
      options={hasClasses ? [...RANKS, ...listed] : []}
      change={(values) => change([...others, ...values])}
      search={{
        placeholder: PLACEHOLDERS[kind] ?? "or search for a class",
        find: (text) => [
          ...(hasClasses ? matchingClasses(labels, text).map(named) : []),
          ...(kind ? [{ value: text, text: `Target: ${text}` }] : []),
        ],
      }}
      none={kind ? "none" : undefined}
    />
  );
}

/** The targets of the image as buttons, and over the image where they have a place. */
function ImageTargetSelect(props: Props & { kind: string; targets: Targets }) {
  const { kind, model, targets, selection, change } = props;
  const { image, targets: keys } = selection;
  const photo = useRequest<HTMLImageElement>(image, () => loadImage(image)).data;
  const shapes = useShapes(targets);
  const size = targets.size as [number, number];
  const isSelected = (spec: string): boolean => keys.includes(spec);
  const toggle = (spec: string): void => {
    if (!isSelected(spec)) change([...keys, spec]);
    else if (keys.length > 1) change(keys.filter((key) => key !== spec));
    else say("At least one target is compared. Select another one first.");
  };
  const pick = (x: number, y: number, perPixel: number): void => {
    const spec = shapeAt(shapes, size, x * size[0], y * size[1], REACH_PX * perPixel * size[0])?.target.spec;
    if (spec) toggle(spec);
  };
  const title = model.image_targets === "question" ? "Answer" : (HEADINGS[kind] ?? "Targets");
  const others = keys.filter((key) => !targets.targets.some((one) => one.spec === key));
  return (
    <div class="several image-targets">
      <span class="title">{title}</span>
      {shapes.length > 0 && (
        <MapView kind="photo" side={SIDE_PX} image={photo} field={null} label={`${title} on the image`} pick={pick}>
          {photo && <TargetMarks shapes={shapes} size={size} isSelected={isSelected} choose={toggle} window={WHOLE} />}
        </MapView>
      )}
      <TargetList heading={title} kind={kind} targets={targets.targets} isSelected={isSelected} choose={toggle} />
      <ClassSelect {...props} label={kind === "caption" ? "Other targets" : "Other targets, classes of the whole image"} keys={others} />
    </div>
  );
}

/** Texts that are compared with the image. */
function TextSelect({ selection, change }: Props) {
  const text = (target: string): Option => ({ value: target, text: target.replace(/^text:/, "") });
  const { classes } = app.start.data;
  return (
    <MultiSelect
      label="Texts"
      selected={selection.targets.filter(isPrompt).map(text)}
      options={classes.slice(0, MAX_LISTED).map((name) => text(`text:a ${name.replaceAll("_", " ")}`))}
      change={change}
      search={{
        placeholder: `or type one: a photo of a ${classes[0] ?? "dog"}`,
        find: (typed) => (promptOf(`text:${typed}`).text ? [text(`text:${typed}`)] : []),
      }}
      none="none"
    />
  );
}
