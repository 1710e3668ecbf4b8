// The audits of the command line: links to their reports, and their slices, which can be selected.

import { useState } from "preact/hooks";
import type { Schemas } from "../../api/types";
import { counted, tenths } from "../../numbers";
import { Pending } from "../../shared/pending";
import { useGet } from "../../shared/use_request";
import { query, type RunList } from "./schemas";
import { select, selectionOfView } from "./selection";

export function Audits({ audits }: { audits: RunList["audits"] }) {
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
  const request = useGet<Schemas["SliceList"]>(open ? query("slices", { audit }) : null);
  const slices = request.data?.slices;
  const selection = selectionOfView();
  return (
    <details class="slices" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Slices</summary>
      <Pending requests={[request]} />
      {slices?.length === 0 && <p class="note">This audit has no slices of the images of the app.</p>}
      {slices && slices.length > 0 && (
        <ul>
          {slices.map(({ name, n, n_listed, accuracy, rest_accuracy, is_worse }, number) => {
            const key = `${audit}-${number}`;
            const on = selection?.kind === "slice" && selection.key === key;
            const listed = n_listed < n ? `, of which ${n_listed} are listed` : "";
            return (
              <li key={key}>
                <button aria-pressed={on} onClick={() => select(on ? null : { kind: "slice", key, name })}>{name}</button>
                <span class="note">
                  {`${counted(n, "image")}${listed}; accuracy ${tenths(accuracy)}, ${tenths(rest_accuracy)} on the others`}
                  {is_worse && " (significantly lower)"}
                </span>
              </li>
            );
          })}
        </ul>
      )}
    </details>
  );
}
