// A field that finds one of many names: as the combobox pattern of WAI-ARIA has it.

import { classesLike } from "../classes";
import { fill, fresh, h } from "../dom";
import { field } from "./controls";

export interface Combobox {
  element: HTMLElement;
  input: HTMLInputElement;
  /** Say in the field what is chosen; empty for nothing. */
  set(text: string): void;
}

/** Where there are no names, a number will do. `choose` gets its place in the list, or null when the field is emptied. */
export function combobox(
  label: string,
  names: () => readonly string[],
  choose: (index: number | null) => void,
  hint = "",
): Combobox {
  const id = fresh("list");
  const list = h("ul", { class: "options", role: "listbox", id, "aria-label": label, hidden: true });
  const input = h("input", {
    type: "text",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: hint,
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": id,
  });
  let hits: number[] = [];
  let active = -1;
  let chosen = "";

  function open(): void {
    hits = classesLike(names(), input.value === chosen ? "" : input.value);
    active = -1;
    const items = hits.map((index, i) =>
      h("li", { role: "option", id: `${id}-${i}`, "aria-selected": "false", onpointerdown: pick(i) }, names()[index]!),
    );
    if (!items.length && names().length) items.push(h("li", { class: "none soft" }, "No class contains all these words."));
    fill(list, ...items);
    list.hidden = !items.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    input.removeAttribute("aria-activedescendant");
  }

  function close(): void {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function move(to: number): void {
    if (!hits.length) return;
    active = (to + hits.length) % hits.length;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === active)));
    const item = list.children[active]!;
    input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  }

  function take(index: number): void {
    close();
    chosen = input.value = names()[index] ?? String(index);
    choose(index);
  }

  const pick = (i: number) => (event: PointerEvent) => {
    event.preventDefault(); // the field keeps the focus
    take(hits[i]!);
  };

  input.addEventListener("input", () => {
    open();
    if (!input.value && chosen) {
      chosen = "";
      choose(null);
    }
  });
  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", open);
  input.addEventListener("blur", () => {
    close();
    input.value = chosen;
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) open();
      move(active < 0 && event.key === "ArrowUp" ? hits.length - 1 : active + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter" && !list.hidden && hits.length) {
      event.preventDefault();
      take(hits[Math.max(active, 0)]!);
    } else if (event.key === "Enter" && !names().length && /^\d+$/.test(input.value)) take(Number(input.value));
    else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      input.value = chosen;
      close();
    }
  });
  const element = field(label, input);
  element.classList.add("combobox");
  element.append(list);
  return {
    element,
    input,
    set(text) {
      chosen = text;
      if (document.activeElement !== input || list.hidden) input.value = text;
    },
  };
}
