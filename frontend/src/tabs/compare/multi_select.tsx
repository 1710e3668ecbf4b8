// Several of many: the selected ones as buttons that remove them, a list and a field that add to them.

import { useSignal } from "@preact/signals";
import { useId, useRef } from "preact/hooks";
import { type Option, OptionList } from "../../shared/controls";

const MAX_HINTS = 8;

export interface MultiSelectProps {
  label: string;
  selected: readonly Option[];
  options: readonly Option[];
  change: (values: string[]) => void;
  none?: string | undefined;
  /** A search field: its placeholder, and what a text may mean, the most likely first. */
  search?: { placeholder: string; find: (text: string) => readonly Option[] };
}

export function MultiSelect({ label, selected, options, change, none, search }: MultiSelectProps) {
  const id = useId();
  const text = useSignal("");
  const box = useRef<HTMLDivElement>(null);
  const values = selected.map((one) => one.value);
  const left = options.filter((option) => !values.includes(option.value));
  const found = text.value.trim() && search ? search.find(text.value.trim()).slice(0, MAX_HINTS) : [];
  const add = (value: string | undefined): void => {
    text.value = "";
    if (value && !values.includes(value)) change([...values, value]);
  };
  const remove = (at: number): void => {
    change(values.toSpliced(at, 1));
    // The focus stays where the button was.
    requestAnimationFrame(() => {
      const chips = box.current?.querySelectorAll<HTMLElement>(".chip");
      (chips?.[Math.min(at, chips.length - 1)] ?? box.current?.querySelector<HTMLElement>("select, input"))?.focus();
    });
  };
  const keydown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") text.value = "";
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (found[0]) add(found[0].value);
  };
  return (
    <div class="several" role="group" aria-labelledby={id} ref={box}>
      <span class="title" id={id}>{label}</span>
      <div class="chips">
        {selected.map((one, i) => (
          <button key={one.value} class="chip" data-value={one.value} title={one.value} aria-label={`Remove ${one.text}`} onClick={() => remove(i)}>
            <span>{one.text}</span>
            <span class="off" aria-hidden="true">×</span>
          </button>
        ))}
        {!selected.length && none && <span class="note">{none}</span>}
      </div>
      <div class="adding">
        {options.length > 0 && (
          <select aria-label={`${label}: add`} value="" disabled={!left.length} onChange={(event) => add(event.currentTarget.value)}>
            <option value="">{left.length ? "Add …" : "all are selected"}</option>
            <OptionList options={left} />
          </select>
        )}
        {search && (
          <input
            type="search"
            aria-label={`${label}: search`}
            placeholder={search.placeholder}
            autocomplete="off"
            value={text.value}
            onInput={(event) => (text.value = event.currentTarget.value)}
            onKeyDown={keydown}
          />
        )}
      </div>
      <div class="hints">
        {found.map((one) => <button key={one.value} onClick={() => add(one.value)}>{one.text}</button>)}
      </div>
    </div>
  );
}
