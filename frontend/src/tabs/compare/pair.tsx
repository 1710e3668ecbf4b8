// A and B: two of the maps over each other, with a divider, one after the other, their difference, or side by side.

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { type Field, Difference } from "../../maps/field";
import { fixed, percent, short } from "../../numbers";
import { type Mark, MapView } from "../../shared/map_view";
import { SegmentedControl } from "../../shared/segmented_control";
import { say } from "../../state/app";
import { setTabValues, tabValue } from "../../state/view";
import { fullLabelOf, labelOf, sizeOf } from "./headings";
import type { Cell, Results } from "./results";
import { keyOf } from "./table_layout";

const VIEWS = [["swipe", "Swipe"], ["flicker", "Flicker"], ["difference", "Difference"], ["side", "Side by side"]] as const;
/** Milliseconds per map: more than three changes per second can be harmful. */
const PACE_MS = 700;

export type Two = readonly [Cell | undefined, Cell | undefined];

/** A and B: those of the link, or the first maps of two methods. */
export function pairOf(results: Results | null): Two {
  const maps = results?.withMap ?? [];
  const inLink = (name: "a" | "b"): Cell | undefined => maps.find((cell) => keyOf(cell) === tabValue(`compare.${name}`));
  const b = inLink("b");
  const a = inLink("a") ?? maps.find((cell) => cell !== b);
  const others = maps.filter((cell) => cell !== a);
  const fits = (cell: Cell): boolean => cell.method !== a?.method && (!cell.target || cell.target === a?.target);
  return [a, b && b !== a ? b : (others.find(fits) ?? others[0])];
}

export const setPair = (a: Cell, b: Cell): void => setTabValues({ "compare.a": keyOf(a), "compare.b": keyOf(b) });

/** The first map that is selected in the grid becomes A, others become B; B becomes A. */
export function selectInGrid([a, b]: Two, cell: Cell): void {
  if (cell === b) setPair(cell, a!);
  else if (cell === a) say("This map is A already. Select another map as B.");
  else if (!a || tabValue("compare.a") !== keyOf(a)) setTabValues({ "compare.a": keyOf(cell), "compare.b": null });
  else setTabValues({ "compare.b": keyOf(cell) });
}

export function PairCard({ results, a, b }: { results: Results; a: Cell; b: Cell }) {
  const mode = VIEWS.find(([name]) => name === tabValue("compare.view"))?.[0] ?? "swipe";
  const [i, j] = [results.withMap.indexOf(a), results.withMap.indexOf(b)];
  const correlation = results.whole?.correlation?.[i]?.[j];
  const mark = useSignal<Mark | null>(null);
  const sides: Sides = {
    image: results.image,
    mark,
    a: { field: results.field(a), label: `A: ${labelOf(results, a)}` },
    b: { field: results.field(b), label: `B: ${labelOf(results, b)}` },
  };
  const View = { swipe: SwipeView, flicker: FlickerView, difference: DifferenceView, side: SideBySide }[mode];
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
        <button class="quiet" onClick={() => setPair(b, a)}>Swap A and B</button>
      </div>
      <div class="swipe" data-mode={mode}>
        <View {...sides} />
        {mode !== "side" && <Values {...sides} />}
      </div>
      <div class="pairwords">
        <p><b class="a">A</b> {fullLabelOf(a)}, {sizeOf(a.map!)}</p>
        <p><b class="b">B</b> {fullLabelOf(b)}, {sizeOf(b.map!)}</p>
        {correlation === null && <p>One of the maps is constant, so there is no rank correlation.</p>}
        {typeof correlation === "number" && <p>{`Rank correlation ${fixed(correlation)}.`}</p>}
        <p class="note">Select a map in the grid as B; select B again to make it A.</p>
      </div>
    </section>
  );
}

interface Sides {
  image: HTMLImageElement;
  mark: Signal<Mark | null>;
  a: { field: Field; label: string };
  b: { field: Field; label: string };
}

function SideBySide({ a, b, ...both }: Sides) {
  return (
    <div class="sides">
      {[a, b].map(({ field, label }) => <MapView key={label} kind="overlay" {...both} field={field} label={label} caption={label} />)}
    </div>
  );
}

function DifferenceView({ a, b, ...both }: Sides) {
  const field = useMemo(() => new Difference(a.field, b.field), [a.field, b.field]);
  const words =
    "Red: higher in A. Blue: higher in B. The positive part of each map is divided by its maximum; " +
    `the largest difference is ${field.largest.toFixed(2)}.`;
  return <MapView kind="overlay" {...both} colormap="signed" field={field} label={words} caption={words} />;
}

/** B over A, to be seen from `at` percent of the width on. */
function Layers({ image, a, b, at }: Sides & { at: number }) {
  return (
    <div class="layers">
      <MapView kind="overlay" image={image} field={a.field} label={a.label} class="below" />
      <MapView kind="overlay" image={image} field={b.field} label={b.label} class="above" clip={at} />
      <span class="tag a" aria-hidden="true" hidden={at < 8}>A</span>
      <span class="tag b" aria-hidden="true" hidden={at > 92}>B</span>
    </div>
  );
}

/** What follows the pointer on a stage: the values of both maps there. */
const readingAt = ({ a, mark }: Sides) => ({
  onPointerLeave: () => void (mark.value = null),
  onPointerMove: (event: PointerEvent): void => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const [width, height] = a.field.geometry.original;
    const x = ((event.clientX - box.left) / box.width) * width;
    mark.value = { x, y: ((event.clientY - box.top) / box.height) * height, by: null };
  },
});

function SwipeView(props: Sides) {
  const at = useSignal(50);
  const rounded = Math.round(at.value);
  return (
    <div class="stage" {...readingAt(props)}>
      <Layers {...props} at={at.value} />
      <input
        type="range"
        min={0}
        max={100}
        step="any"
        value={at.value}
        aria-label="Divider between A and B"
        aria-valuetext={`A ${rounded} %, B ${100 - rounded} %`}
        onInput={(event) => (at.value = event.currentTarget.valueAsNumber)}
      />
      <div class="divider" style={{ left: `${at.value}%` }} aria-hidden="true"><span class="grip">⇔</span></div>
    </div>
  );
}

function FlickerView(props: Sides) {
  const isStill = useMemo(() => window.matchMedia("(prefers-reduced-motion: reduce)").matches, []);
  const runs = useSignal(!isStill);
  const showsB = useSignal(false);
  const turn = (): void => void (showsB.value = !showsB.peek());
  const toggle = (): void => (isStill ? turn() : void (runs.value = !runs.peek()));
  useEffect(() => {
    if (!runs.value) return;
    const timer = setInterval(turn, PACE_MS);
    return () => clearInterval(timer);
  }, [runs.value]);
  const keydown = (event: KeyboardEvent): void => {
    if (event.key !== " ") return;
    event.preventDefault();
    toggle();
  };
  return (
    <>
      <div
        class="stage"
        tabIndex={0}
        role="group"
        aria-label="A and B in turn; the space bar toggles"
        data-shows={showsB.value ? "B" : "A"}
        onKeyDown={keydown}
        {...readingAt(props)}
      >
        <Layers {...props} at={showsB.value ? 0 : 100} />
      </div>
      <div class="row">
        {!isStill && <button class="runs" aria-pressed={runs.value} onClick={toggle}>{runs.value ? "Stop" : "Flicker"}</button>}
        {!runs.value && <button class="turn" onClick={turn}>Show {showsB.value ? "A" : "B"}</button>}
        <span class="note">Or press the space bar.</span>
      </div>
    </>
  );
}

function Values({ mark, a, b }: Sides) {
  const at = mark.value;
  if (!at) return <output class="values">Hover over the image to read both maps.</output>;
  const valueOf = (field: Field): string => {
    const value = field.at(at.x, at.y);
    const fraction = value / (field.top || 1);
    return short(value) + (Number.isNaN(value) ? "" : ` (${fraction < 0 ? "−" : ""}${percent(Math.abs(fraction))})`);
  };
  const words = "in the units of each map and as a fraction of its maximum";
  return <output class="values">{`A ${valueOf(a.field)} · B ${valueOf(b.field)}, ${words}`}</output>;
}
