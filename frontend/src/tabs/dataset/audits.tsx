// The audits of the command line: links to their reports, and their slices, which can be selected.

import { useState } from "preact/hooks";
import { counted, tenths } from "../../numbers";
import { ErrorMessage } from "../../shared/error_message";
import { useGet } from "../../shared/use_request";
import { query, type RunList, type SliceList } from "./schemas";
import { select, selectionOfView } from "./selection";

export function Audits({ audits }: { audits: NonNullable<RunList["audits"]> }) {
  if (!audits.length) return null;
  return (
    <ul class="audits" aria-label="Audits">
      {audits.map((audit, number) => (
        <li key={audit.link}>
          {audit.error ? `${audit.name}: ${audit.error}` : <a href={audit.link}>{audit.name}</a>}
          {!audit.error && audit.model && ` – audit of ${audit.model}, ${counted(audit.n_images ?? 0, "image")} of ${audit.data}`}
          {!audit.error && <Slices audit={number} />}
        </li>
      ))}
    </ul>
  );
}

/** The slices of an audit, fetched when they are opened. */
function Slices({ audit }: { audit: number }) {
  const [open, setOpen] = useState(false);
  const request = useGet<SliceList>(open ? query("slices", { audit }) : null);
  const slices = request.data?.slices;
  const selection = selectionOfView();
  const selected = selection?.kind === "slice" ? selection.key : "";
  return (
    <details class="slices" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Slices</summary>
      <ErrorMessage error={request.error} retry={request.retry} />
      {slices && !slices.length && <p class="note">This audit has no slices of the images of the app.</p>}
      {slices && slices.length > 0 && (
        <ul>
          {slices.map((one, number) => {
            const key = `${audit}-${number}`;
            const listed = one.n_listed < one.n ? `, of which ${one.n_listed} are listed` : "";
            return (
              <li key={key}>
                <button
                  aria-pressed={selected === key}
                  onClick={() => select(selected === key ? null : { kind: "slice", key, name: one.name })}
                >
                  {one.name}
                </button>
                <span class="note">
                  {`${counted(one.n, "image")}${listed}; accuracy ${tenths(one.accuracy)}, ${tenths(one.rest_accuracy)} on the others`}
                  {one.is_worse && " (significantly lower)"}
                </span>
              </li>
            );
          })}
        </ul>
      )}
    </details>
  );
}
