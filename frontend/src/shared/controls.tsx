// Labelled fields: selections, sliders, check boxes, anything.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { LayerChoice } from "../api/types";
import { sized } from "../numbers";

/** A labelled field; the control takes the id that it is given. */
export function Field(props: { label: string; class?: string; children: (id: string) => ComponentChildren }) {
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
  const groups = [...new Set(options.map((option) => option.group))];
  return (
    <>
      {groups.map((group) => {
        const made = options.filter((option) => option.group === group).map((option) => (
          <option key={option.value} value={option.value} title={option.title} disabled={option.disabled}>
            {option.text}
          </option>
        ));
        return group ? <optgroup label={group}>{made}</optgroup> : made;
      })}
    </>
  );
}

export function Select(props: {
  label: string;
  value: string;
  options: readonly Option[];
  change: (value: string) => void;
  disabled?: boolean;
}) {
  const { label, value, options, change, disabled } = props;
  return (
    <Field label={label}>
      {(id) => (
        <select id={id} value={value} disabled={disabled} onChange={(event) => change(event.currentTarget.value)}>
          <OptionList options={options} />
        </select>
      )}
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
  /** Called while it moves. */
  change: (value: number) => void;
  /** Called when it has moved. */
  done?: (value: number) => void;
  disabled?: boolean;
}) {
  const { label, min = 0, max = 1, step = 0.01, value, text, change, done, disabled } = props;
  return (
    <Field label={label} class="slider">
      {(id) => (
        <>
          <input
            id={id}
            type="range"
            min={min}
            max={max}
            step={step}
            value={value}
            disabled={disabled}
            aria-valuetext={text(value)}
            onInput={(event) => change(Number(event.currentTarget.value))}
            onChange={(event) => done?.(Number(event.currentTarget.value))}
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
  return (
    <Field label={label} class={props.class}>
      {(id) => (
        <input
          id={id}
          {...(number ? { type: "number" as const, ...number } : { type: "text" as const })}
          value={value}
          placeholder={placeholder}
          spellcheck={false}
          autocomplete="off"
          onChange={(event) => {
            const input = event.currentTarget;
            if (input.checkValidity()) change(input.value.trim());
            else input.value = value;
          }}
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
  const { label, value, min, max, change, note, placeholder } = props;
  return (
    <Field label={label}>
      {(id) => (
        <>
          <input
            id={id}
            type="number"
            inputMode="numeric"
            min={min}
            max={max}
            step={1}
            required={typeof value === "number"}
            value={value}
            placeholder={placeholder}
            onInput={(event) => change(event.currentTarget)}
          />
          {note && <p class="note">{note}</p>}
        </>
      )}
    </Field>
  );
}

/** The head of a table whose columns are not sorted. */
export function TableHead({ columns }: { columns: readonly string[] }) {
  return (
    <thead>
      <tr>
        {columns.map((text) => (
          <th scope="col" key={text}>
            {text}
          </th>
        ))}
      </tr>
    </thead>
  );
}

/** The recommended layers of a model as options, with the size of their grids. */
export const layerOptions = (layers: readonly LayerChoice[]): Option[] =>
  layers.map(({ name, label, grid }) => ({ value: name, text: grid ? `${label} · ${sized(grid)}` : label }));
