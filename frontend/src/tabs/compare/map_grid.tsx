// A table of maps over one image. They are drawn a few at a time, so that the page answers meanwhile.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Field } from "../../maps/field";
import type { Look } from "../../maps/painter";
import { drawPhoto, photoSize } from "../../shared/photo";
import { useRovingFocus } from "../../shared/roving_focus";
import { app } from "../../state/app";
import { mapStyle } from "../../state/view";
import { type Heading, type HeadingOf, rowHeadings } from "./headings";
import type { Cell } from "./schemas";
import { keyOf, type Layout, type Placed } from "./table_layout";

const SIDE_PX = 320;
/** For more maps than this, smaller canvases. */
const MANY = 40;
const SMALL_PX = 200;
/** Milliseconds of drawing before the page may do something else. */
const SLICE_MS = 12;

interface Props {
  image: HTMLImageElement;
  layout: Layout;
  fields: ReadonlyMap<string, Field>;
  headingOf: HeadingOf;
  caption: (cell: Cell) => string;
  /** All that a map is, for those who cannot see its position. */
  label: (cell: Cell) => string;
  /** Whether missing maps may still arrive. */
  waiting: boolean;
  /** Keys of the maps A and B. */
  selected: readonly [string, string];
  select: (key: string) => void;
  /** The canvases, by key. */
  canvases: Map<string, HTMLCanvasElement>;
  /** Called when all maps are drawn. */
  drawn: () => void;
}

export function MapGrid(props: Props) {
  const { image, layout, fields, headingOf, canvases } = props;
  const table = useRovingFocus<HTMLTableElement>("button.cell");
  const style = mapStyle.value;
  const size = photoSize(image, fields.size > MANY ? SMALL_PX : SIDE_PX);
  const drawn = useRef(props.drawn);
  drawn.current = props.drawn;
  useLayoutEffect(() => drawInSlices(image, canvases, fields, style, () => drawn.current()), [image, layout, fields, style]);
  return (
    <div class="gridbox" role="group" aria-label="Maps">
      <table class="grid" style={{ "--columns": String(layout.columns.length) }} ref={table}>
        <thead>
          <tr>
            {layout.down.length > 0 && <td class="corner" />}
            {layout.columns.map((value) => (
              <HeadingCell key={value} scope="col" headings={[headingOf(layout.across, value)]} />
            ))}
          </tr>
        </thead>
        <tbody>
          {layout.rows.map((_, row) => (
            <tr key={row}>
              {layout.down.length > 0 && <HeadingCell scope="row" headings={rowHeadings(layout, row, headingOf)} />}
              {cellsOf(layout, row).map(({ column, placed }) =>
                placed ? <MapCell key={column} {...props} placed={placed} size={size} /> : <td key={column} class="none" />,
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The cells that begin in a row, with empty ones where there is nothing. */
function cellsOf(layout: Layout, row: number): { column: number; placed: Placed | null }[] {
  const made: { column: number; placed: Placed | null }[] = [];
  const covered = (column: number): boolean =>
    layout.placed.some(
      (one) => one.row < row && row < one.row + one.rows && one.column <= column && column < one.column + one.columns,
    );
  for (let column = 0; column < layout.columns.length; column++) {
    const placed = layout.placed.find((one) => one.row === row && one.column === column) ?? null;
    if (placed) made.push({ column, placed });
    else if (!covered(column)) made.push({ column, placed: null });
    column += (placed?.columns ?? 1) - 1;
  }
  return made;
}

function HeadingCell({ scope, headings }: { scope: "row" | "col"; headings: readonly Heading[] }) {
  return (
    <th scope={scope}>
      {headings.map(({ title, below, id }) => (
        <div class="value" key={title} title={id}>
          <span>{title}</span>
          {below && <span class="below">{below}</span>}
        </div>
      ))}
    </th>
  );
}

function MapCell(props: Props & { placed: Placed; size: [number, number] }) {
  const { placed, size, selected, canvases } = props;
  const { cell, rows, columns, again } = placed;
  const key = keyOf(cell);
  const spans = rows > 1 || columns > 1 ? "spans" : "";
  const why = again ? "as above" : (cell.error ?? (cell.map ? null : props.waiting ? "…" : "not computed"));
  if (why !== null)
    return (
      <td class={`why ${spans}`} rowSpan={rows} colSpan={columns}>
        <span>{why}</span>
      </td>
    );
  const letter = key === selected[0] ? "A" : key === selected[1] ? "B" : "";
  const label = props.label(cell);
  return (
    <td class={spans} rowSpan={rows} colSpan={columns}>
      <button
        class="cell"
        data-key={key}
        data-is={letter}
        aria-pressed={letter !== ""}
        aria-label={letter ? `${letter}: ${label}` : label}
        onClick={() => props.select(key)}
      >
        <canvas
          width={size[0]}
          height={size[1]}
          aria-hidden="true"
          ref={(canvas) => {
            if (canvas) canvases.set(key, canvas);
            else canvases.delete(key);
          }}
        />
        <span class="badge" aria-hidden="true">
          {letter}
        </span>
        <span class="score">{props.caption(cell)}</span>
      </button>
    </td>
  );
}

/** Draw a few maps per frame; returns how to stop. */
function drawInSlices(
  image: HTMLImageElement,
  canvases: ReadonlyMap<string, HTMLCanvasElement>,
  fields: ReadonlyMap<string, Field>,
  style: Look,
  done: () => void,
): () => void {
  let stopped = false;
  let base: ImageData | null = null;
  const waiting = [...canvases];
  const go = (): void => {
    if (stopped) return;
    const start = performance.now();
    while (waiting.length && performance.now() - start < SLICE_MS) {
      const [key, canvas] = waiting.shift()!;
      const { width, height } = canvas;
      const context = canvas.getContext("2d", { willReadFrequently: true })!;
      if (base?.width !== width || base.height !== height) {
        drawPhoto(context, image, width, height);
        base = context.getImageData(0, 0, width, height);
      }
      const field = fields.get(key);
      const copy = new ImageData(new Uint8ClampedArray(base.data), width, height);
      context.putImageData(field && style.opacity > 0 ? app.painter.over(copy, field, style) : copy, 0, 0);
    }
    if (waiting.length) requestAnimationFrame(go);
    else done();
  };
  requestAnimationFrame(go);
  return () => void (stopped = true);
}
