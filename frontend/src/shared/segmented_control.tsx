// A few choices side by side, one of them selected; one stop of the Tab key.

import { useId } from "preact/hooks";
import { useRovingFocus } from "./roving_focus";

export type Segment = readonly [value: string, text: string];

/** `visible`: the label is displayed above the choices. */
export function SegmentedControl(props: {
  label: string;
  segments: readonly Segment[];
  value: string;
  change: (value: string) => void;
  visible?: boolean;
}) {
  const { label, segments, value, change, visible } = props;
  const id = useId();
  const box = useRovingFocus<HTMLDivElement>("button");
  const bar = (
    <div class="segments" role="toolbar" ref={box} {...(visible ? { "aria-labelledby": id } : { "aria-label": label })}>
      {segments.map(([key, text]) => (
        <button key={key} data-value={key} aria-pressed={key === value} onClick={() => change(key)}>{text}</button>
      ))}
    </div>
  );
  return visible ? <div class="field"><span class="label" id={id}>{label}</span>{bar}</div> : bar;
}
