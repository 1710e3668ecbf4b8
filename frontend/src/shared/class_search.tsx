// A field that finds classes by name, or browses all of them in pages: the combobox pattern of WAI-ARIA.

import { useSignal } from "@preact/signals";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { counted } from "../numbers";

const PAGE = 50;

interface Props {
  label: string;
  /** Names of the classes. Where there are none, a number will do. */
  names: readonly string[];
  /** The selected class; null for none. */
  value: number | null;
  /** Also for the class that is selected already; null when the field is emptied. */
  change: (index: number | null) => void;
  placeholder?: string;
}

export function ClassSearch({ label, names, value, change, placeholder }: Props) {
  const id = useId();
  const selected = value === null ? "" : (names[value] ?? String(value));
  const typed = useSignal<string | null>(null); // null: closed
  const at = useSignal(-1);
  const list = useRef<HTMLUListElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const [text, active] = [typed.value, at.value];
  const open = text !== null;
  const hits = open ? matchingClasses(names, text === selected ? "" : text) : [];
  const pages = Math.ceil(hits.length / PAGE);
  const page = Math.floor(Math.max(active, 0) / PAGE);

  useLayoutEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [active, open]);

  const show = (now: string | null): void => {
    typed.value = now;
    at.value = -1;
  };
  const close = (): void => {
    show(null);
    if (input.current) input.current.value = selected;
  };
  const take = (index: number): void => {
    show(null);
    input.current!.value = names[index] ?? String(index);
    change(index);
  };
  const turn = (by: number): void => void (at.value = Math.min(Math.max(page + by, 0), pages - 1) * PAGE);
  const step = (by: number): void => {
    if (!open) show(input.current!.value);
    else at.value = by < 0 && active <= 0 ? hits.length - 1 : (active + by) % hits.length;
  };
  const keydown = (event: KeyboardEvent): void => {
    const { value: now } = input.current!;
    if (event.key === "Enter" && !names.length && /^\d+$/.test(now)) return take(Number(now));
    const whenOpen: Record<string, () => void> = {
      Escape: close,
      PageDown: () => turn(1),
      PageUp: () => turn(-1),
      ...(hits.length > 0 && { Enter: () => take(hits[Math.max(active, 0)]!) }),
    };
    const actions: Record<string, () => void> = { ArrowDown: () => step(1), ArrowUp: () => step(-1), ...(open && whenOpen) };
    const action = actions[event.key];
    if (!action) return;
    action();
    event.preventDefault();
  };
  return (
    <div class="field combobox">
      <label for={id}>{label}</label>
      <input
        ref={input}
        id={id}
        type="text"
        role="combobox"
        autocomplete="off"
        spellcheck={false}
        placeholder={placeholder}
        aria-autocomplete="list"
        aria-expanded={open && hits.length > 0 ? "true" : "false"}
        aria-controls={`${id}-list`}
        aria-activedescendant={active >= 0 ? `${id}-${active}` : undefined}
        value={text ?? selected}
        onInput={(event) => {
          show(event.currentTarget.value);
          if (!event.currentTarget.value && value !== null) change(null);
        }}
        onFocus={(event) => event.currentTarget.select()}
        onClick={(event) => !open && show(event.currentTarget.value)}
        onBlur={close}
        onKeyDown={keydown}
      />
      {open && names.length > 0 && (
        <div class="options" onPointerDown={(event) => event.preventDefault() /* the field keeps the focus */}>
          <p class="soft count" role="status">{countText(hits.length, names.length, page)}</p>
          {hits.length > 0 && (
            <ul role="listbox" id={`${id}-list`} aria-label={label} ref={list}>
              {hits.slice(page * PAGE, (page + 1) * PAGE).map((index, i) => {
                const nth = page * PAGE + i;
                return (
                  <li key={index} id={`${id}-${nth}`} role="option" aria-selected={nth === active} title={`class ${index}`} onClick={() => take(index)}>
                    {names[index]}
                  </li>
                );
              })}
            </ul>
          )}
          {pages > 1 && (
            <div class="row pages">
              <button tabIndex={-1} disabled={page === 0} onClick={() => turn(-1)}>Previous</button>
              <button tabIndex={-1} disabled={page === pages - 1} onClick={() => turn(1)}>Next</button>
            </div>
          )}
        </div>
      )}
    </div>
  );
}

function countText(hits: number, all: number, page: number): string {
  if (!hits) return "No class contains all these words.";
  const what = (hits === all ? "" : `${hits.toLocaleString("en")} of `) + counted(all, "class", "classes");
  return hits > PAGE ? `${what}, ${page * PAGE + 1} to ${Math.min(hits, (page + 1) * PAGE)}` : what;
}

/** Indices of the classes whose name contains all words of a text; names that begin with it are first. */
export function matchingClasses(names: readonly string[], text: string): number[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (name: string, index: number): boolean =>
    words.every((word) => name.toLowerCase().includes(word)) || text.trim() === String(index);
  const hits = [...names.keys()].filter((index) => matches(names[index]!, index));
  const isLater = (index: number): number => Number(!words.length || !names[index]!.toLowerCase().startsWith(words[0]!));
  return hits.toSorted((a, b) => isLater(a) - isLater(b));
}
