// Tables from columns and rows, which can be sorted by a column; lists of texts.

import type { ComponentChildren, TdHTMLAttributes } from "preact";

export interface Column<R> {
  head: string;
  /** What follows the head. */
  note?: string;
  /** The name by which the rows can be sorted by it. */
  sort?: string;
  cell: (row: R) => ComponentChildren;
  /** Attributes of its cells. */
  td?: (row: R) => TdHTMLAttributes<HTMLTableCellElement> & Record<`data-${string}`, string>;
}

interface Props<R> {
  /** The first one has the heads of the rows. */
  columns: readonly Column<R>[];
  rows: readonly R[];
  keyOf: (row: R) => string;
  class?: string;
  caption?: string;
  rowClass?: (row: R) => string;
  /** `pressable`: the sorted column is also what another view displays. */
  sorted?: { by: string; descending: boolean; change: (by: string) => void; pressable?: boolean };
  /** What is displayed below a row. */
  detail?: (row: R) => ComponentChildren;
}

export function Table<R>({ columns, rows, keyOf, caption, rowClass, sorted, detail, class: kind }: Props<R>) {
  const [first, ...others] = columns as [Column<R>, ...Column<R>[]];
  return (
    <table class={kind}>
      {caption && <caption class="note">{caption}</caption>}
      <thead>
        <tr>
          {columns.map((column) => (
            <Head key={column.head} column={column} sorted={sorted} />
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => {
          const below = detail?.(row);
          return [
            <tr key={keyOf(row)} class={rowClass?.(row)}>
              <th scope="row">{first.cell(row)}</th>
              {others.map((column) => (
                <td key={column.head} {...column.td?.(row)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>,
            below && (
              <tr key={`${keyOf(row)} detail`} class="detail">
                <td colSpan={columns.length}>{below}</td>
              </tr>
            ),
          ];
        })}
      </tbody>
    </table>
  );
}

function Head<R>({ column: { head, note, sort }, sorted }: { column: Column<R>; sorted: Props<R>["sorted"] }) {
  if (!head) return <td />;
  if (!sort || !sorted) return <th scope="col">{head}</th>;
  const { by, descending, change, pressable } = sorted;
  const on = sort === by;
  return (
    <th scope="col" aria-sort={on ? (descending ? "descending" : "ascending") : "none"}>
      <button class="quiet" data-sort={sort} aria-pressed={pressable ? on : undefined} onClick={() => change(sort)}>
        {head}
        {on && <span aria-hidden="true">{descending ? " ↓" : " ↑"}</span>}
      </button>
      {note && <small>{note}</small>}
    </th>
  );
}

export const TextList = ({ texts, class: kind }: { texts: readonly string[]; class?: string }) => (
  <ul class={kind}>
    {texts.map((text) => (
      <li key={text}>{text}</li>
    ))}
  </ul>
);
