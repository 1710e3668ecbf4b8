// A table of maps as a file: one image, or one HTML page that opens without a server or a network.

import { render } from "preact";
import { fixed } from "../../numbers";
import { drawPhoto, photoSize } from "../../shared/photo";
import { app } from "../../state/app";
import { captionOf, columnHeadings, commonOf, fullLabelOf, type Heading, labelOf, rowHeadings } from "./headings";
import PAGE from "./grid_file.html?raw";
import { canvasesIn, reasonOf } from "./map_grid";
import type { Results } from "./results";
import { keyOf, type Layout } from "./table_layout";

export interface Grid {
  results: Results;
  layout: Layout;
  shared: boolean;
  table: HTMLTableElement;
}

const titleOf = ({ results }: Grid): string => commonOf(results).join(" · ");

function footerOf({ results: { selection, whole }, shared }: Grid): string {
  const scale = shared ? "maps of one method at one layer share a scale" : "each map has its own scale";
  return [scale, selection.models.join(", "), whole?.name ?? selection.image, `camlucida ${app.start.version}`].join(" · ");
}

const CELL = 240;
const GAP = 12;
const HEAD = 84;
const SIDE = 190;
const LINE = 17;
const INK = "#1d1d22";
const SOFT = "#5c5d68";

/** Drawn at twice the size, dark on white, whatever the colours of the page are. */
export function gridCanvas(grid: Grid): HTMLCanvasElement {
  const { results, layout, shared } = grid;
  const canvases = canvasesIn(grid.table);
  const ratios = [...canvases.values()].map((map) => map.height / map.width);
  const cellWidth = Math.round(CELL * Math.max(0.6, ...ratios.map((ratio) => Math.min(1, 1 / ratio))));
  const cellHeight = Math.round(cellWidth * Math.min(1.6, Math.max(0.4, ...ratios)));
  const left = layout.down.length ? SIDE + GAP : GAP;
  const step = cellHeight + LINE + GAP;
  const width = left + layout.columns.length * (cellWidth + GAP);
  const height = HEAD + layout.rows.length * step + 34;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * width, 2 * height];
  const context = canvas.getContext("2d")!;
  context.scale(2, 2);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);

  /** Text in at most so many lines; the rest is cut off. */
  const write = (text: string, x: number, y: number, room: number, font: string, ink = INK, lines = 1): void => {
    context.font = `${font} system-ui, sans-serif`;
    context.fillStyle = ink;
    let words = text.split(" ");
    for (let line = 1; line <= lines && words.length; line++) {
      let count = words.length;
      const fitting = (): string => words.slice(0, count).join(" ") + (line === lines && count < words.length ? " …" : "");
      while (count > 1 && context.measureText(fitting()).width > room) count--;
      context.fillText(fitting(), x, y + (line - 1) * LINE, room);
      words = words.slice(count);
    }
  };
  const head = ({ title, below }: Heading, x: number, y: number, room: number): void => {
    write(title, x, y, room, "600 13px");
    if (below) write(below, x, y + LINE, room, "12px", SOFT);
  };

  write(titleOf(grid), GAP, 26, width - 2 * GAP, "600 16px");
  columnHeadings(results, layout).forEach((heading, i) => head(heading, left + i * (cellWidth + GAP), 54, cellWidth));
  layout.rows.forEach((_, row) => {
    let y = HEAD + row * step + 16;
    for (const heading of rowHeadings(results, layout, row)) {
      head(heading, GAP, y, SIDE);
      y += (heading.below ? 2 : 1) * LINE + 3;
    }
  });
  for (const placed of layout.placed) {
    const [x, y] = [left + placed.column * (cellWidth + GAP), HEAD + placed.row * step];
    const reason = reasonOf(placed);
    const map = canvases.get(keyOf(placed.cell));
    if (reason !== null || !map) write(reason ?? "", x, y + 16, cellWidth, "12px", SOFT, Math.floor(cellHeight / LINE));
    else {
      const factor = Math.min(cellWidth / map.width, cellHeight / map.height);
      context.drawImage(map, x, y, map.width * factor, map.height * factor);
      write(captionOf(results, placed.cell, shared), x, y + map.height * factor + 14, cellWidth, "12px");
    }
  }
  write(footerOf(grid), GAP, height - 12, width - 2 * GAP, "12px", SOFT);
  return canvas;
}

/** The file. Maps are images at the opacity of the page; the slider makes them fainter, down to the image alone. */
export function gridHtml(grid: Grid): string {
  const [title, main] = [document.createElement("title"), document.createElement("main")];
  // Names of files, classes and models may contain anything; elements escape them.
  render(titleOf(grid), title);
  render(<Main {...grid} />, main);
  return PAGE.replace("IMAGE", photoUrl(grid.results.image))
    .replace("<title></title>", () => title.outerHTML)
    .replace("<main></main>", () => main.outerHTML);
}

function Main(grid: Grid) {
  const { results } = grid;
  const names = results.withMap.map((cell) => labelOf(results, cell));
  const correlation = results.whole?.correlation;
  return (
    <>
      <h1>{titleOf(grid)}</h1>
      <label>
        Opacity of the maps <input id="opacity" type="range" min="0" max="1" step="0.01" defaultValue="1" />
      </label>
      <div class="scroll" tabIndex={0} role="region" aria-label="Maps" ref={(box) => void box?.append(tableOf(grid))} />
      {correlation && (
        <>
          <h2>Rank correlation of the maps</h2>
          <div class="scroll" tabIndex={0} role="region" aria-label="Rank correlation">
            <table class="similarity">
              <thead><tr><td />{names.map((_, i) => <th scope="col" key={i}>{i + 1}</th>)}</tr></thead>
              <tbody>
                {names.map((name, i) => (
                  <tr key={i}>
                    <th scope="row">{`${i + 1} ${name}`}</th>
                    {names.map((_, j) => <td key={j}>{fixed(correlation[i]![j]!)}</td>)}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
      <footer><p>{footerOf(grid)}</p></footer>
    </>
  );
}

/** The table as it is displayed, with images instead of buttons. */
function tableOf({ layout, table }: Grid): HTMLTableElement {
  const copy = table.cloneNode(true) as HTMLTableElement;
  const cells = new Map(layout.placed.map(({ cell }) => [keyOf(cell), cell]));
  for (const [key, canvas] of canvasesIn(table)) {
    const button = copy.querySelector(`[data-key="${CSS.escape(key)}"]`)!;
    const figure = document.createElement("figure");
    render(
      <>
        <div class="map"><img src={canvas.toDataURL("image/png")} alt={fullLabelOf(cells.get(key)!)} /></div>
        <figcaption>{button.querySelector(".score")!.textContent}</figcaption>
      </>,
      figure,
    );
    button.replaceWith(figure);
  }
  return copy;
}

/** The longer side of the image, in pixels: as of the maps of a grid. */
const SIDE_PX = 320;

function photoUrl(image: HTMLImageElement): string {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = photoSize(image, SIDE_PX);
  drawPhoto(canvas.getContext("2d")!, image, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92);
}
