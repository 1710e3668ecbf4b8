// A table of maps over one image. They are drawn a few at a time, so that the page answers meanwhile.

import { useLayoutEffect } from "preact/hooks";
import type { Field } from "../../maps/field";
import type { Look } from "../../maps/painter";
import { drawPhoto, photoSize } from "../../shared/photo";
import { useRovingFocus } from "../../shared/roving_focus";
import { app } from "../../state/app";
import { mapStyle } from "../../state/view";
import { captionOf, columnHeadings, fullLabelOf, type Heading, rowHeadings } from "./headings";
import type { Cell, Results } from "./results";
import { cellsOf, keyOf, type Layout, type Placed } from "./table_layout";

const SIDE_PX = 320;
/** For more maps than this, smaller canvases. */
const MANY = 40;
const SMALL_PX = 200;
/** Milliseconds of drawing before the page may do something else. */
const SLICE_MS = 12;

interface Props {
  results: Results;
  layout: Layout;
  fields: ReadonlyMap<string, Field>;
  /** Whether maps in one unit are on one scale. */
  shared: boolean;
  waiting: boolean;
  pair: readonly (Cell | undefined)[];
  select: (cell: Cell) => void;
  drawn: () => void;
}

export function MapGrid(props: Props) {
  const { results, layout, fields } = props;
  const table = useRovingFocus<HTMLTableElement>("button.cell");
  const style = mapStyle.value;
  const size = photoSize(results.image, fields.size > MANY ? SMALL_PX : SIDE_PX);
  useLayoutEffect(() => drawInSlices(results.image, canvasesIn(table.current!), fields, style, props.drawn), [layout, fields, style]);
  const hasRows = layout.down.length > 0;
  return (
    <div class="gridbox" role="group" aria-label="Maps">
      <table class="grid" style={{ "--columns": String(layout.columns.length) }} ref={table}>
        <thead>
          <tr>
            {hasRows && <td class="corner" />}
            {columnHeadings(results, layout).map((heading, i) => <HeadingCell key={i} scope="col" headings={[heading]} />)}
          </tr>
        </thead>
        <tbody>
          {layout.rows.map((_, row) => (
            <tr key={row}>
              {hasRows && <HeadingCell scope="row" headings={rowHeadings(results, layout, row)} />}
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

/** Why there is no map at a position; null where there is one. */
export const reasonOf = ({ cell, again }: Placed): string | null => (again ? "as above" : (cell.error ?? (cell.map ? null : "")));

function MapCell(props: Props & { placed: Placed; size: [number, number] }) {
  const { results, placed, size, pair, shared, select } = props;
  const { cell, rows, columns } = placed;
  const spans = rows > 1 || columns > 1 ? "spans" : "";
  const reason = reasonOf(placed);
  if (reason !== null)
    return (
      <td class={`why ${spans}`} rowSpan={rows} colSpan={columns}>
        <span class="soft">{reason || (props.waiting ? "…" : "not computed")}</span>
      </td>
    );
  const letter = cell === pair[0] ? "A" : cell === pair[1] ? "B" : "";
  const label = fullLabelOf(cell);
  return (
    <td class={spans} rowSpan={rows} colSpan={columns}>
      <button
        class="cell"
        data-key={keyOf(cell)}
        data-is={letter}
        aria-pressed={letter !== ""}
        aria-label={letter ? `${letter}: ${label}` : label}
        onClick={() => select(cell)}
      >
        <canvas width={size[0]} height={size[1]} aria-hidden="true" />
        <span class="badge" aria-hidden="true">{letter}</span>
        <span class="score">{captionOf(results, cell, shared)}</span>
      </button>
    </td>
  );
}

export const canvasesIn = (table: HTMLTableElement): Map<string, HTMLCanvasElement> =>
  new Map([...table.querySelectorAll("canvas")].map((canvas) => [canvas.closest("button")!.dataset.key!, canvas]));

/** Draw a few maps per frame; returns how to stop. */
function drawInSlices(
  image: HTMLImageElement,
  canvases: ReadonlyMap<string, HTMLCanvasElement>,
  fields: ReadonlyMap<string, Field>,
  style: Look,
  done: () => void,
): () => void {
  let base: ImageData | null = null;
  const waiting = [...canvases];
  const go = (): void => {
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
    if (waiting.length) frame = requestAnimationFrame(go);
    else done();
  };
  let frame = requestAnimationFrame(go);
  return () => cancelAnimationFrame(frame);
}
