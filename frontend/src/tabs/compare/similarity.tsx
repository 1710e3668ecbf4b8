// How similar all maps are, and where they differ.

import { useMemo } from "preact/hooks";
import { Field } from "../../maps/field";
import { fixed } from "../../numbers";
import { MapView } from "../../shared/map_view";
import { useRovingFocus } from "../../shared/roving_focus";
import { labelOf } from "./headings";
import type { Results } from "./results";
import type { Cell } from "./schemas";

/** For more maps than this, one map is compared with all others. */
const MAX_SQUARE = 20;

type Table = readonly (readonly (number | null)[])[];

interface Props {
  results: Results;
  pair: readonly [Cell | undefined, Cell | undefined];
  select: (a: Cell, b: Cell) => void;
}

export function Similarity({ results, pair, select }: Props) {
  const { withMap } = results;
  const whole = results.whole!;
  const names = withMap.map((cell) => labelOf(results, cell));
  const [a, b] = pair.map((cell) => (cell ? withMap.indexOf(cell) : -1)) as [number, number];
  const choose = (one: number, other: number): void => select(withMap[one]!, withMap[other]!);
  return (
    <section class="card alike">
      <h2>Similarity</h2>
      <Matrix table={whole.correlation!} names={names} a={a} b={b} choose={choose} />
      <details class="help">
        <summary>How to read this</summary>
        <p class="note">
          Spearman's rank correlation over all positions that every network covers: 1 if two maps have the same order, 0 if the
          orders are unrelated, −1 if the order is reversed. Only the order matters, not the values.
        </p>
      </details>
      {whole.disagreement && <Disagreement results={results} />}
    </section>
  );
}

function Disagreement({ results }: { results: Results }) {
  const found = results.whole!.disagreement!;
  const field = useMemo(() => Field.of({ ...found, relu: false, signed: false, percentile: 100 }, found.geometry), [found]);
  const words =
    `The standard deviation over all ${results.withMap.length} maps, each divided by its maximum: ` +
    `its maximum is ${found.map.peak.toFixed(2)} here, and 0.5 is possible.`;
  return (
    <div class="apart">
      <h3>Disagreement</h3>
      <MapView kind="overlay" image={results.image} field={field} label={words} caption={words} />
    </div>
  );
}

interface MatrixProps {
  table: Table;
  names: readonly string[];
  a: number;
  b: number;
  choose: (one: number, other: number) => void;
}

function Matrix({ table, names, a, b, choose }: MatrixProps) {
  const box = useRovingFocus<HTMLDivElement>("button.pair");
  const pairs = sortedPairs(table);
  const [best, last] = [pairs[0], pairs.at(-1)];
  const constant = names.filter((_, i) => table[i]![i] === null);
  const cell = (value: number | null, row: number, column: number, pressed: boolean) => (
    <PairCell value={value} row={row} column={column} names={names} pressed={pressed} choose={choose} />
  );
  const told = (what: string, pair: Pair) => (
    <p class="told">
      <b>{what}: </b>
      {`${names[pair.one]} and ${names[pair.other]}, ${fixed(pair.value)}.`}
    </p>
  );
  return (
    <div class="matrix" ref={box}>
      {best && told(pairs.length > 1 ? "Most similar" : "Rank correlation", best)}
      {last && pairs.length > 1 && told("Least similar", last)}
      {constant.length > 0 && <p class="note">{`Constant maps, which cannot be ranked: ${constant.join(", ")}.`}</p>}
      {names.length > MAX_SQUARE ? (
        <OneAgainstAll table={table} names={names} a={Math.max(0, a)} cell={cell} />
      ) : (
        <AllPairs table={table} names={names} a={a} b={b} cell={cell} />
      )}
    </div>
  );
}

interface Pair {
  one: number;
  other: number;
  value: number;
}

/** The pairs that have a correlation, the most similar first. */
export function sortedPairs(table: Table): Pair[] {
  const pairs = table.flatMap((row, other) =>
    row.flatMap((value, one): Pair[] => (one < other && value !== null ? [{ one, other, value }] : [])),
  );
  return pairs.sort((x, y) => y.value - x.value);
}

type CellOf = (value: number | null, row: number, column: number, pressed: boolean) => preact.JSX.Element;

/** All pairs: below the diagonal, since the other half is the same. */
function AllPairs({ table, names, a, b, cell }: { table: Table; names: readonly string[]; a: number; b: number; cell: CellOf }) {
  const columns = names.slice(0, -1);
  return (
    <div class="matrixbox">
      <table aria-label="Rank correlation of all pairs of maps">
        <thead>
          <tr>
            <td>
              <p class="note first">
                <span class="nth">1</span>
                {names[0]}
              </p>
            </td>
            {columns.map((name, i) => (
              <th scope="col" title={name} key={i}>
                {i + 1}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.slice(1).map((name, i) => (
            <tr key={name}>
              <th scope="row">
                <span class="nth">{i + 2}</span>
                {name}
              </th>
              {columns.map((_, column) => {
                const row = i + 1;
                if (column >= row) return <td class="none" key={column} />;
                const pressed = (a === row && b === column) || (a === column && b === row);
                return <td key={column}>{cell(table[row]![column]!, row, column, pressed)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** One map with all others, where a table of all pairs would be too large to read. */
function OneAgainstAll({ table, names, a, cell }: { table: Table; names: readonly string[]; a: number; cell: CellOf }) {
  const others = names
    .map((name, i) => ({ name, i, value: table[a]![i] ?? null }))
    .filter(({ i }) => i !== a)
    .sort((x, y) => (y.value ?? -2) - (x.value ?? -2));
  return (
    <>
      <p class="note">{`Too many maps for a matrix: A, ${names[a]}, with each of the others.`}</p>
      <div class="matrixbox list">
        <table>
          <tbody>
            {others.map(({ name, i, value }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{cell(value, i, a, false)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

interface PairCellProps {
  value: number | null;
  row: number;
  column: number;
  names: readonly string[];
  pressed: boolean;
  choose: (one: number, other: number) => void;
}

function PairCell({ value, row, column, names, pressed, choose }: PairCellProps) {
  const text = value === null ? "–" : fixed(value);
  const pair = `${names[column]} and ${names[row]}`;
  const colour = value === null ? "" : `color-mix(in oklab, var(${value < 0 ? "--first" : "--second"}) ${Math.round(55 * Math.abs(value))}%, var(--paper))`;
  return (
    <button
      class="pair"
      data-pair={`${row}-${column}`}
      title={pair}
      aria-label={`${pair}: ${value === null ? "none" : text}`}
      aria-pressed={pressed}
      style={{ background: colour }}
      onClick={() => choose(column, row)}
    >
      {text}
    </button>
  );
}
