// A field that finds classes by name, or browses all of them in pages: the combobox pattern of WAI-ARIA.

import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
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
  const [text, setText] = useState<string | null>(null); // null: closed
  const [active, setActive] = useState(-1);
  const list = useRef<HTMLUListElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const open = text !== null;
  const hits = open ? matchingClasses(names, text === selected ? "" : text) : [];
  const page = Math.floor(Math.max(active, 0) / PAGE);
  const shown = hits.slice(page * PAGE, (page + 1) * PAGE);

  useLayoutEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [active, open]);

  const start = (now: string): void => {
    setText(now);
    setActive(-1);
  };
  const close = (): void => {
    setText(null);
    setActive(-1);
    if (input.current) input.current.value = selected;
  };
  const take = (index: number): void => {
    setText(null);
    setActive(-1);
    input.current!.value = names[index] ?? String(index);
    change(index);
  };
  const turn = (pages: number): void => setActive(Math.min(Math.max(page + pages, 0), Math.ceil(hits.length / PAGE) - 1) * PAGE);

  const keydown = (event: KeyboardEvent): void => {
    const { key } = event;
    if (key === "Enter" && !names.length && /^\d+$/.test(input.current!.value)) return take(Number(input.current!.value));
    if (key === "Escape" && open) close();
    else if (key === "Enter" && open && hits.length) take(hits[Math.max(active, 0)]!);
    else if (key === "ArrowDown" || key === "ArrowUp") {
      if (!open) start(input.current!.value);
      else if (key === "ArrowDown") setActive((active + 1) % hits.length);
      else setActive(active <= 0 ? hits.length - 1 : active - 1);
    } else if (key === "PageDown" && open) turn(1);
    else if (key === "PageUp" && open) turn(-1);
    else return;
    event.preventDefault();
  };
  const keepFocus = (event: Event): void => event.preventDefault();

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
          const now = event.currentTarget.value;
          start(now);
          if (!now && value !== null) change(null);
        }}
        onFocus={(event) => event.currentTarget.select()}
        onClick={(event) => !open && start(event.currentTarget.value)}
        onBlur={close}
        onKeyDown={keydown}
      />
      {open && names.length > 0 && (
        <div class="options" onPointerDown={keepFocus}>
          <p class="soft count" role="status">
            {hits.length ? countText(hits.length, names.length, page) : "No class contains all these words."}
          </p>
          {hits.length > 0 && (
            <ul role="listbox" id={`${id}-list`} aria-label={label} ref={list}>
              {shown.map((index, i) => (
                <li
                  key={index}
                  id={`${id}-${page * PAGE + i}`}
                  role="option"
                  aria-selected={page * PAGE + i === active}
                  title={`class ${index}`}
                  onClick={() => take(index)}
                >
                  {names[index]}
                </li>
              ))}
            </ul>
          )}
          {hits.length > PAGE && (
            <div class="row pages">
              <button tabIndex={-1} disabled={page === 0} onClick={() => turn(-1)}>
                Previous
              </button>
              <button tabIndex={-1} disabled={(page + 1) * PAGE >= hits.length} onClick={() => turn(1)}>
                Next
              </button>
            </div>
          )}
        </div>
      )}
    </div>
  );
}

function countText(hits: number, all: number, page: number): string {
  const what = hits === all ? counted(all, "class", "classes") : `${hits.toLocaleString("en")} of ${counted(all, "class", "classes")}`;
  return hits > PAGE ? `${what}, ${page * PAGE + 1} to ${Math.min(hits, (page + 1) * PAGE)}` : what;
}

/** Indices of the classes whose name contains all words of a text; names that begin with it are first. */
export function matchingClasses(names: readonly string[], text: string): number[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hits: [number, number][] = [];
  names.forEach((label, index) => {
    const name = label.toLowerCase();
    if (words.every((word) => name.includes(word)) || text.trim() === String(index))
      hits.push([words.length && name.startsWith(words[0]!) ? 0 : 1, index]);
  });
  return hits.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, index]) => index);
}
