// A table of maps as one HTML file, which opens without a server or a network.

import { drawPhoto, photoSize } from "../../shared/photo";
import { fixed } from "../../numbers";
import type { GridFile } from "./grid_file";
import { type Heading, rowHeadings } from "./headings";
import type { Cell } from "./schemas";

/** The longer side of the image, in pixels: as of the maps of a grid. */
const SIDE_PX = 320;

export interface GridPage extends GridFile {
  image: HTMLImageElement;
  /** All that a map is. */
  label(cell: Cell): string;
  /** Rank correlations of all maps, with what each is; null if there are none. */
  similarity: { names: readonly string[]; table: readonly (readonly (number | null)[])[] } | null;
}

const SCRIPT = `
const slider = document.getElementById("opacity");
slider.addEventListener("input", () => document.documentElement.style.setProperty("--opacity", slider.value));
`;

const STYLE = `
:root { color-scheme: light dark; --ink: #1d1d22; --soft: #5c5d68; --line: #d9d9e0; --paper: #fff; --opacity: 1; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf1; --soft: #a9a9b8; --line: #3a3a45; --paper: #16161b; } }
body { margin: 24px; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.25rem; } h2 { font-size: 1.05rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th { padding: 6px 10px; text-align: left; vertical-align: top; }
td { padding: 6px; vertical-align: top; max-width: 320px; }
tbody tr { border-top: 1px solid var(--line); }
.soft, figcaption, footer { color: var(--soft); font-weight: 400; font-size: 0.88rem; }
figure { margin: 0; }
.map { width: 240px; max-width: 100%; border-radius: 4px; background: var(--image) 0 0 / 100% 100%; }
.map img { display: block; width: 100%; border-radius: 4px; opacity: var(--opacity); }
label { display: flex; flex-wrap: wrap; gap: 10px; align-items: center; min-height: 28px; }
input { width: 220px; min-height: 24px; }
.similarity td, .similarity th { padding: 3px 8px; font-size: 0.85rem; font-weight: 400; text-align: right; }
.similarity th { text-align: left; }
`;

/** The file. Maps are images at the opacity of the page; the slider makes them fainter, down to the image alone. */
export function gridHtml(page: GridPage): string {
  const { layout, headingOf } = page;
  const columns = layout.columns.map((value) => `<th scope="col">${headingHtml(headingOf(layout.across, value))}</th>`);
  const corner = layout.down.length ? "<td></td>" : "";
  const rows = layout.rows.map((_, row) => {
    const headings = layout.down.length
      ? `<th scope="row">${rowHeadings(layout, row, headingOf).map(headingHtml).join("<br>")}</th>`
      : "";
    return `<tr>${headings}${cellsHtml(page, row)}</tr>`;
  });
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escaped(page.title)}</title>
<style>:root { --image: url("${photoUrl(page.image)}"); }${STYLE}</style>
</head>
<body>
<main>
<h1>${escaped(page.title)}</h1>
<label>Opacity of the maps <input id="opacity" type="range" min="0" max="1" step="0.01" value="1"></label>
<div class="scroll" tabindex="0" role="region" aria-label="Maps">
<table>
<thead><tr>${corner}${columns.join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>
</div>
${similarityHtml(page)}
<footer><p>${escaped(page.footer)}</p></footer>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

/** The cells that begin in a row; positions without a map are empty. */
function cellsHtml(page: GridPage, row: number): string {
  const { placed, columns } = page.layout;
  const made: string[] = [];
  for (let column = 0; column < columns.length; column++) {
    const here = placed.find((one) => one.row === row && one.column === column);
    const covered = placed.some(
      (one) => one.row < row && row < one.row + one.rows && one.column <= column && column < one.column + one.columns,
    );
    if (here) {
      made.push(`<td rowspan="${here.rows}" colspan="${here.columns}">${cellHtml(page, here)}</td>`);
      column += here.columns - 1;
    } else if (!covered) made.push("<td></td>");
  }
  return made.join("");
}

function cellHtml(page: GridPage, place: GridPage["layout"]["placed"][number]): string {
  const { canvas, text } = page.at(place);
  if (!canvas) return `<span class="soft">${escaped(text)}</span>`;
  const map = canvas.toDataURL("image/png");
  const label = escaped(page.label(place.cell));
  return `<figure><div class="map"><img src="${map}" alt="${label}"></div><figcaption>${escaped(text)}</figcaption></figure>`;
}

function similarityHtml({ similarity }: GridPage): string {
  if (!similarity) return "";
  const { names, table } = similarity;
  const heads = names.map((_, i) => `<th scope="col">${i + 1}</th>`).join("");
  const rows = names.map((name, i) => {
    const cells = names.map((_, j) => `<td>${table[i]![j] === null ? "–" : fixed(table[i]![j]!)}</td>`).join("");
    return `<tr><th scope="row">${i + 1} ${escaped(name)}</th>${cells}</tr>`;
  });
  return `<h2>Rank correlation of the maps</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Rank correlation">
<table class="similarity"><thead><tr><td></td>${heads}</tr></thead><tbody>${rows.join("")}</tbody></table>
</div>`;
}

const headingHtml = ({ title, below }: Heading): string =>
  escaped(title) + (below ? `<div class="soft">${escaped(below)}</div>` : "");

/** The image at the size of the maps. */
function photoUrl(image: HTMLImageElement): string {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = photoSize(image, SIDE_PX);
  drawPhoto(canvas.getContext("2d")!, image, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92);
}

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
/** Names of files, classes and models may contain anything. */
export const escaped = (text: string): string => text.replace(/[&<>"']/g, (letter) => ENTITIES[letter]!);
