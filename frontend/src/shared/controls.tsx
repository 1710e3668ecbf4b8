// Labelled fields: selections, sliders, check boxes, anything.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { LayerChoice } from "../api/types";
import { sized } from "../numbers";

/** A labelled field; the control takes the id that it is given. */
export function Field(props: { label: string; class?: string | undefined; children: (id: string) => ComponentChildren }) {
  const id = useId();
  return (
    <div class={`field ${props.class ?? ""}`}>
      <label for={id}>{props.label}</label>
      {props.children(id)}
    </div>
  );
}

export interface Option {
  value: string;
  text: string;
  group?: string;
  title?: string;
  disabled?: boolean;
}

/** The options of a list, those of a group below its name. */
export function OptionList({ options }: { options: readonly Option[] }) {
  const groups = [...new Set(options.map((option) => option.group))].map((group) => {
    const members = options.filter((option) => option.group === group).map(({ value, text, title, disabled }) => (
      <option key={value} value={value} title={title} disabled={disabled}>{text}</option>
    ));
    return group ? <optgroup key={group} label={group}>{members}</optgroup> : members;
  });
  return <>{groups}</>;
}

export function Select(props: {
  label: string;
  value: string;
  options: readonly Option[];
  change: (value: string) => void;
  disabled?: boolean;
}) {
  const { label, options, change, ...rest } = props;
  return (
    <Field label={label}>
      {(id) => <select id={id} {...rest} onChange={(event) => change(event.currentTarget.value)}><OptionList options={options} /></select>}
    </Field>
  );
}

export function Slider(props: {
  label: string;
  min?: number;
  max?: number;
  step?: number;
  value: number;
  text: (value: number) => string;
  change: (value: number) => void;
  done?: (value: number) => void;
  disabled?: boolean | undefined;
}) {
  const { label, min = 0, max = 1, step = 0.01, value, text, change, done, disabled } = props;
  return (
    <Field label={label} class="slider">
      {(id) => (
        <>
          <input
            id={id}
            type="range"
            {...{ min, max, step, value, disabled }}
            aria-valuetext={text(value)}
            onInput={(event) => change(event.currentTarget.valueAsNumber)}
            onChange={(event) => done?.(event.currentTarget.valueAsNumber)}
          />
          <output>{text(value)}</output>
        </>
      )}
    </Field>
  );
}

export function CheckBox(props: { label: string; checked: boolean; change: (checked: boolean) => void; title?: string }) {
  const { label, checked, change, title } = props;
  return (
    <label class="check" title={title}>
      <input type="checkbox" checked={checked} onChange={(event) => change(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

/** A text or number that counts once it is complete. An invalid number is not accepted. */
export function TextField(props: {
  label: string;
  value: string;
  change: (value: string) => void;
  number?: { min?: number; max?: number; step?: number | "any" };
  placeholder?: string;
  class?: string;
}) {
  const { label, value, change, number, placeholder } = props;
  const complete = (input: HTMLInputElement): void => {
    if (input.checkValidity()) change(input.value.trim());
    else input.value = value;
  };
  return (
    <Field label={label} class={props.class}>
      {(id) => (
        <input
          id={id}
          {...(number ? { type: "number" as const, ...number } : { type: "text" as const })}
          {...{ value, placeholder }}
          spellcheck={false}
          autocomplete="off"
          onChange={(event) => complete(event.currentTarget)}
        />
      )}
    </Field>
  );
}

/** An integer that counts at every key, also while it is not valid; `value` is a text where it may be missing. */
export function NumberField(props: {
  label: string;
  value: number | string;
  min: number;
  max: number;
  change: (input: HTMLInputElement) => void;
  note?: string;
  placeholder?: string;
}) {
  const { label, change, note, ...rest } = props;
  return (
    <Field label={label}>
      {(id) => (
        <>
          <input
            id={id}
            type="number"
            inputMode="numeric"
            step={1}
            required={typeof rest.value === "number"}
            {...rest}
            onInput={(event) => change(event.currentTarget)}
          />
          {note && <p class="note">{note}</p>}
        </>
      )}
    </Field>
  );
}

/** The recommended layers of a model as options, with the size of their grids. */
export const layerOptions = (layers: readonly LayerChoice[]): Option[] =>
  layers.map(({ name, label, grid }) => ({ value: name, text: grid ? `${label} · ${sized(grid)}` : label }));
