// Two maps over one image: with a divider, one after the other, their difference, or side by side.

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Field } from "../../maps/field";
import { percent, short } from "../../numbers";
import { type Mark, MapView } from "../../shared/map_view";
import { Difference } from "./shared_scale";

export type View = "swipe" | "flicker" | "difference" | "side";
export const VIEWS: readonly (readonly [View, string])[] = [
  ["swipe", "Swipe"],
  ["flicker", "Flicker"],
  ["difference", "Difference"],
  ["side", "Side by side"],
];
/** Milliseconds per map: more than three changes per second can be harmful. */
const PACE_MS = 700;

interface Side {
  field: Field;
  label: string;
}

interface Props {
  image: HTMLImageElement;
  a: Side;
  b: Side;
  mode: View;
}

export function PairViews(props: Props) {
  const { image, a, b, mode } = props;
  const mark = useSignal<Mark | null>(null);
  const both = { image, mark };
  return (
    <div class="swipe" data-mode={mode}>
      {mode === "side" && (
        <div class="sides">
          <MapView kind="overlay" {...both} field={a.field} label={`A: ${a.label}`} caption={`A: ${a.label}`} />
          <MapView kind="overlay" {...both} field={b.field} label={`B: ${b.label}`} caption={`B: ${b.label}`} />
        </div>
      )}
      {mode === "difference" && <DifferenceView {...props} mark={mark} />}
      {mode === "swipe" && <SwipeView {...props} mark={mark} />}
      {mode === "flicker" && <FlickerView {...props} mark={mark} />}
      {mode !== "side" && <Values mark={mark} a={a.field} b={b.field} />}
    </div>
  );
}

type Marked = Props & { mark: Signal<Mark | null> };

function DifferenceView({ image, a, b, mark }: Marked) {
  const field = useMemo(() => new Difference(a.field, b.field), [a.field, b.field]);
  const words = `Red: higher in A. Blue: higher in B. The positive part of each map is divided by its maximum; the largest difference is ${field.largest.toFixed(2)}.`;
  return <MapView kind="overlay" colormap="signed" image={image} field={field} label={words} caption={words} mark={mark} />;
}

/** B over A, to be seen from `at` percent of the width on. */
function Layers({ image, a, b, at, mark }: Marked & { at: number }) {
  const point = (event: PointerEvent): void => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const [width, height] = a.field.geometry.original;
    const x = ((event.clientX - box.left) / box.width) * width;
    mark.value = { x, y: ((event.clientY - box.top) / box.height) * height, by: null };
  };
  return (
    <div class="layers" onPointerMove={point} onPointerLeave={() => void (mark.value = null)}>
      <MapView kind="overlay" image={image} field={a.field} label={`A: ${a.label}`} class="below" />
      <MapView kind="overlay" image={image} field={b.field} label={`B: ${b.label}`} class="above" clip={at} />
      <span class="tag a" aria-hidden="true" hidden={at < 8}>
        A
      </span>
      <span class="tag b" aria-hidden="true" hidden={at > 92}>
        B
      </span>
    </div>
  );
}

function SwipeView(props: Marked) {
  const [at, setAt] = useState(50);
  const stage = useRef<HTMLDivElement>(null);
  const divider = useRef<HTMLDivElement>(null);
  const slide = (to: number): void => setAt(Math.min(100, Math.max(0, to)));
  const follow = (event: PointerEvent): void => {
    const box = stage.current!.getBoundingClientRect();
    slide((100 * (event.clientX - box.left)) / box.width);
  };
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    stage.current!.setPointerCapture(event.pointerId);
    divider.current!.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  };
  const keydown = (event: KeyboardEvent): void => {
    const steps = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
    const by = steps[event.key as keyof typeof steps];
    if (by === undefined) return;
    event.preventDefault();
    slide(at + by);
  };
  const move = (event: PointerEvent): void => void (stage.current!.hasPointerCapture(event.pointerId) && follow(event));
  return (
    <div class="stage" ref={stage} onPointerDown={down} onPointerMove={move}>
      <Layers {...props} at={at} />
      <div
        class="divider"
        ref={divider}
        role="slider"
        tabIndex={0}
        style={{ left: `${at}%` }}
        aria-label="Divider between A and B"
        aria-orientation="horizontal"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(at)}
        aria-valuetext={`A ${Math.round(at)} %, B ${Math.round(100 - at)} %`}
        onKeyDown={keydown}
      >
        <span class="grip" aria-hidden="true">
          ⇔
        </span>
      </div>
    </div>
  );
}

function FlickerView(props: Marked) {
  const still = useRef(window.matchMedia("(prefers-reduced-motion: reduce)")).current;
  const [runs, setRuns] = useState(!still.matches);
  const [showsB, setShowsB] = useState(false);
  const turn = (): void => setShowsB((now) => !now);
  useEffect(() => {
    if (!runs) return;
    const timer = setInterval(turn, PACE_MS);
    return () => clearInterval(timer);
  }, [runs]);
  const toggle = (): void => (still.matches ? turn() : setRuns(!runs));
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
        data-shows={showsB ? "B" : "A"}
        onKeyDown={keydown}
      >
        <Layers {...props} at={showsB ? 0 : 100} />
      </div>
      <div class="row">
        {!still.matches && (
          <button class="runs" aria-pressed={runs} onClick={toggle}>
            {runs ? "Stop" : "Flicker"}
          </button>
        )}
        {!runs && (
          <button class="turn" onClick={turn}>
            Show {showsB ? "A" : "B"}
          </button>
        )}
        <span class="note">Or press the space bar.</span>
      </div>
    </>
  );
}

/** Both map values at the marked position. */
function Values({ mark, a, b }: { mark: Signal<Mark | null>; a: Field; b: Field }) {
  const at = mark.value;
  const value = (letter: string, field: Field): string => {
    const here = field.at(at!.x, at!.y);
    const share = here / (field.top || 1);
    const part = Number.isNaN(here) ? "" : ` (${share < 0 ? `−${percent(-share)}` : percent(share)})`;
    return `${letter} ${short(here)}${part}`;
  };
  return (
    <output class="values">
      {at
        ? `${value("A", a)} · ${value("B", b)}, in the units of each map and as a fraction of its maximum`
        : "Hover over the image to read both maps."}
    </output>
  );
}
