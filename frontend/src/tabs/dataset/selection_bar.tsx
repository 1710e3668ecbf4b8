// The search field, and the search and the selection as chips that can be removed.

import { useEffect, useRef } from "preact/hooks";
import { counted } from "../../numbers";
import { debounce } from "../../shared/debounce";
import { ErrorMessage } from "../../shared/error_message";
import type { RequestState } from "../../shared/use_request";
import type { RunInfo, Subset } from "./schemas";
import { appliesTo, searchOfView, select, selectionOfView, selectionText, setSearch } from "./selection";

const QUIET_MS = 250;

interface Props {
  run: RunInfo;
  subset: RequestState<Subset> & { active: boolean };
}

export function SelectionBar({ run, subset }: Props) {
  const search = searchOfView();
  const selection = selectionOfView();
  const field = useRef<HTMLInputElement>(null);
  const searchSoon = useRef(debounce(QUIET_MS, setSearch)).current;
  useClearByEscape(selection !== null);
  useEffect(() => {
    if (field.current && document.activeElement !== field.current) field.current.value = search;
  }, [search]);
  const removeSearch = (): void => {
    field.current!.value = "";
    setSearch("");
  };
  const { data } = subset;
  return (
    <div class="selection" data-subset={subset.active ? (subset.busy ? undefined : String(data?.n ?? "")) : "all"}>
      <input
        ref={field}
        type="search"
        aria-label="Search images"
        aria-describedby="search-columns"
        placeholder="Search: dog, split:val"
        maxLength={200}
        defaultValue={search}
        onInput={(event) => searchSoon(event.currentTarget.value)}
      />
      <div class="chips" role="group" aria-label="Filters">
        {search && <Chip text={`Search: ${search}`} label="Remove the search" remove={removeSearch} />}
        {selection && <Chip text={selectionText(selection)} label="Clear the selection" remove={() => select(null)} />}
      </div>
      <p class="note" role="status">
        {subset.active && data && `${data.n.toLocaleString("en")} of ${counted(data.n_images, "image")} selected`}
        {selection && !appliesTo(selection, run) && " The selection does not apply to the images of this run."}
      </p>
      <p class="note columns" id="search-columns">
        {`Words of the class or of the file name, or column:value${data ? ` with ${data.columns.join(", ")}` : " as in predicted:cat"}. Escape clears the selection.`}
      </p>
      <ErrorMessage error={subset.active ? subset.error : null} retry={subset.retry} />
    </div>
  );
}

function Chip({ text, label, remove }: { text: string; label: string; remove: () => void }) {
  return (
    <span class="chip">
      {text}
      <button class="quiet" aria-label={label} title={label} onClick={remove}>
        ×
      </button>
    </span>
  );
}

/** Escape clears the selection, unless it means something where the focus is. */
function useClearByEscape(selected: boolean): void {
  useEffect(() => {
    if (!selected) return;
    const press = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      if ((event.target as Element).closest?.("input, select, textarea, dialog")) return;
      event.preventDefault();
      select(null);
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [selected]);
}
