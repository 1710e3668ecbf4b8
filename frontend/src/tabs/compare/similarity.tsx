// How similar all maps are, and where they differ.

import { useMemo } from "preact/hooks";
import { Field } from "../../maps/field";
import { fixed } from "../../numbers";
import { MapView } from "../../shared/map_view";
import { useRovingFocus } from "../../shared/roving_focus";
import { labelOf } from "./headings";
import { setPair, type Two } from "./pair";
import type { Results } from "./results";

/** For more maps than this, one map is compared with all others. */
const MAX_SQUARE = 20;

export function Similarity({ results, pair }: { results: Results; pair: Two }) {
  return (
    <section class="card alike">
      <h2>Similarity</h2>
      <Matrix results={results} pair={pair} />
      <details class="help">
        <summary>How to read this</summary>
        <p class="note">
          Spearman's rank correlation over all positions that every network covers: 1 if two maps have the same order, 0 if the
          orders are unrelated, −1 if the order is reversed. Only the order matters, not the values.
        </p>
      </details>
      {results.whole!.disagreement && <Disagreement results={results} />}
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

function Matrix({ results, pair }: { results: Results; pair: Two }) {
  const { withMap } = results;
  const table = results.whole!.correlation!;
  const names = withMap.map((cell) => labelOf(results, cell));
  const [a, b] = pair.map((cell) => withMap.indexOf(cell!)) as [number, number];
  const box = useRovingFocus<HTMLDivElement>("button.pair");
  // The pairs that have a correlation, the most similar first.
  const pairs = table
    .flatMap((row, i) => row.flatMap((value, j) => (j < i && value !== null ? [{ i, j, value }] : [])))
    .sort((x, y) => y.value - x.value);
  const extremes = [
    [pairs.length > 1 ? "Most similar" : "Rank correlation", pairs[0]],
    ["Least similar", pairs.length > 1 ? pairs.at(-1) : undefined],
  ] as const;
  const constant = names.filter((_, i) => table[i]![i] === null);
  // A table of all pairs, below the diagonal since the other half is the same; too large to read, it is A with all others.
  const isLarge = names.length > MAX_SQUARE;
  const first = Math.max(0, a);
  const others = [...names.keys()].filter((i) => i !== first).sort((i, j) => (table[first]![j] ?? -2) - (table[first]![i] ?? -2));
  const cell = (row: number, column: number) => {
    const value = table[row]![column] ?? null;
    const text = value === null ? "–" : fixed(value);
    const both = `${names[column]} and ${names[row]}`;
    const share = `var(${(value ?? 0) < 0 ? "--first" : "--second"}) ${Math.round(55 * Math.abs(value ?? 0))}%`;
    return (
      <td key={`${row} ${column}`}>
        <button
          class="pair"
          data-pair={`${row}-${column}`}
          title={both}
          aria-label={`${both}: ${value === null ? "none" : text}`}
          aria-pressed={(a === row && b === column) || (a === column && b === row)}
          style={{ background: value === null ? "" : `color-mix(in oklab, ${share}, var(--paper))` }}
          onClick={() => setPair(withMap[column]!, withMap[row]!)}
        >
          {text}
        </button>
      </td>
    );
  };
  return (
    <div class="matrix" ref={box}>
      {extremes.map(([what, one]) => one && (
        <p class="told" key={what}><b>{what}: </b>{`${names[one.j]} and ${names[one.i]}, ${fixed(one.value)}.`}</p>
      ))}
      {constant.length > 0 && <p class="note">{`Constant maps, which cannot be ranked: ${constant.join(", ")}.`}</p>}
      <p class="note" hidden={!isLarge}>{`Too many maps for a matrix: A, ${names[first]}, with each of the others.`}</p>
      <div class={`matrixbox ${isLarge ? "list" : ""}`}>
        {isLarge ? (
          <table>
            <tbody>
              {others.map((i) => <tr key={names[i]}><th scope="row">{names[i]}</th>{cell(i, first)}</tr>)}
            </tbody>
          </table>
        ) : (
          <table aria-label="Rank correlation of all pairs of maps">
            <thead>
              <tr>
                <td><p class="note first"><span class="nth">1</span>{names[0]}</p></td>
                {names.slice(0, -1).map((name, i) => <th scope="col" title={name} key={i}>{i + 1}</th>)}
              </tr>
            </thead>
            <tbody>
              {names.map((name, row) => row > 0 && (
                <tr key={name}>
                  <th scope="row"><span class="nth">{row + 1}</span>{name}</th>
                  {names.slice(0, -1).map((_, column) => (column < row ? cell(row, column) : <td class="none" key={column} />))}
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </div>
  );
}
