// A and B: two of the maps over each other.

import { fixed } from "../../numbers";
import { SegmentedControl } from "../../shared/segmented_control";
import { say } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import { fullLabelOf, labelOf, sizeOf } from "./headings";
import { PairViews, VIEWS } from "./pair_views";
import type { Results } from "./results";
import type { Cell } from "./schemas";
import { keyOf } from "./table_layout";

type Two = readonly [Cell | undefined, Cell | undefined];

/** A and B: those of the link, or the first maps of two methods. */
export function pairOf(results: Results | null): Two {
  const maps = results?.withMap ?? [];
  const of = (name: "a" | "b"): Cell | undefined => maps.find((cell) => keyOf(cell) === tabValue(`compare.${name}`));
  const b = of("b");
  const a = of("a") ?? maps.find((cell) => cell !== b);
  const others = maps.filter((cell) => cell !== a);
  const fits = (cell: Cell): boolean => cell.method !== a?.method && (!cell.target || cell.target === a?.target);
  return [a, b && b !== a ? b : (others.find(fits) ?? others[0])];
}

export const setPair = (a: string, b: string): void => setTabValues({ "compare.a": a, "compare.b": b });

/** The first map that is selected in the grid becomes A, others become B; B becomes A. */
export function selectInGrid(pair: Two, key: string): void {
  const [a, b] = pair.map((cell) => (cell ? keyOf(cell) : "")) as [string, string];
  if (key === b) setPair(key, a);
  else if (key === a) say("This map is A already. Select another map as B.");
  else if (tabValue("compare.a") !== a) setTabValues({ "compare.a": key, "compare.b": null });
  else setTabValues({ "compare.b": key });
}

export function PairCard({ results, a, b }: { results: Results; a: Cell; b: Cell }) {
  const mode = VIEWS.find(([name]) => name === tabValue("compare.view"))?.[0] ?? "swipe";
  const [i, j] = [results.withMap.indexOf(a), results.withMap.indexOf(b)];
  const correlation = results.whole?.correlation?.[i]?.[j];
  const line = (letter: "A" | "B", cell: Cell) => (
    <p>
      <b class={letter.toLowerCase()}>{letter}</b> {fullLabelOf(cell)}, {sizeOf(cell.map!)}
    </p>
  );
  return (
    <section class="card pair">
      <h2>A and B</h2>
      <div class="row modes">
        <SegmentedControl
          label="View of A and B"
          segments={VIEWS}
          value={mode}
          change={(name) => setTabValues({ "compare.view": name === "swipe" ? "" : name })}
        />
        <button class="quiet" onClick={() => setPair(keyOf(b), keyOf(a))}>
          Swap A and B
        </button>
      </div>
      <PairViews
        image={results.image}
        a={{ field: results.field(a), label: labelOf(results, a) }}
        b={{ field: results.field(b), label: labelOf(results, b) }}
        mode={mode}
      />
      <div class="pairwords">
        {line("A", a)}
        {line("B", b)}
        {correlation !== undefined && (
          <p>
            {correlation === null
              ? "One of the maps is constant, so there is no rank correlation."
              : `Rank correlation ${fixed(correlation)}.`}
          </p>
        )}
        <p class="note">Select a map in the grid as B; select B again to make it A.</p>
      </div>
    </section>
  );
}
