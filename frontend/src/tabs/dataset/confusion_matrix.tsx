// Which class is predicted as which, as a table of numbers that can be selected.

import { useRovingFocus } from "../../shared/roving_focus";
import type { Matrix } from "./schemas";

interface Props {
  matrix: Matrix;
  selected: string;
  select: (cell: string) => void;
}

export function ConfusionMatrix({ matrix, selected, select }: Props) {
  const box = useRovingFocus<HTMLDivElement>("button");
  const others = matrix.rows.some((row) => row.others > 0);
  return (
    <div class="scroller" ref={box}>
      <table>
        <caption class="note">
          Rows: true classes. The shade is the fraction of the row. Select a cell to see its images, here and in the other views; the
          arrow keys move between cells.
        </caption>
        <thead>
          <tr>
            <td class="corner">
              <span>true ↓</span>
              <span>predicted →</span>
            </td>
            {matrix.columns.map((one) => (
              <th scope="col" title={one.name} key={one.output}>
                <span>{one.name}</span>
              </th>
            ))}
            {others && (
              <th scope="col">
                <span>others</span>
              </th>
            )}
            <th scope="col">
              <span>all</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {matrix.rows.map((row, i) => (
            <tr key={row.output}>
              <th scope="row" title={row.name}>
                {row.name}
              </th>
              {matrix.columns.map((column, j) => {
                const count = matrix.counts[i]![j]!;
                const correct = row.output === column.output;
                const key = `${row.output}-${column.output}`;
                const label = `${count} of ${row.total} ${row.name}${correct ? ": correct" : `, predicted as ${column.name}`}`;
                const depth = `${Math.round(8 + 42 * Math.sqrt(count / row.total))}%`;
                return (
                  <td key={column.output} class={correct ? "right" : "wrong"} style={count ? { "--depth": depth } : {}}>
                    {count > 0 && (
                      <button data-cell={key} aria-label={label} title={label} aria-pressed={key === selected} onClick={() => select(key)}>
                        {count}
                      </button>
                    )}
                  </td>
                );
              })}
              {others && <td class="sum">{row.others || ""}</td>}
              <td class="sum">{row.total}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
