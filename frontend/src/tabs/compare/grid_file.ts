// A table of maps as one image, with its headers, for a file.

import type { Layout } from "./table_layout";
import { type HeadingOf, rowHeadings } from "./headings";

export interface GridFile {
  layout: Layout;
  title: string;
  footer: string;
  headingOf: HeadingOf;
  /** What is at a position: a map with a caption, or a sentence. */
  at(place: Layout["placed"][number]): { canvas?: HTMLCanvasElement | undefined; text: string };
}

const CELL = 240;
const GAP = 12;
const SIDE = 190;
const LINE = 17;
const INK = "#1d1d22";
const SOFT = "#5c5d68";
const FONT = "system-ui, sans-serif";

/** Drawn at twice the size, dark on white, whatever the colours of the page are. */
export function gridCanvas(sheet: GridFile): HTMLCanvasElement {
  const { layout } = sheet;
  const maps = layout.placed.map((one) => ({ one, ...sheet.at(one) }));
  const tall = Math.max(...maps.map(({ canvas }) => (canvas ? canvas.height / canvas.width : 0)), 0.4);
  const wide = Math.max(...maps.map(({ canvas }) => (canvas ? Math.min(1, canvas.width / canvas.height) : 0)), 0.6);
  const cell = { width: Math.round(CELL * wide), height: Math.round(CELL * wide * Math.min(tall, 1.6)) };
  const left = layout.down.length ? SIDE + GAP : GAP;
  const step = cell.height + LINE + GAP;
  const width = left + layout.columns.length * (cell.width + GAP);
  const height = 84 + layout.rows.length * step + 34;
  const canvas = document.createElement("canvas");
  canvas.width = 2 * width;
  canvas.height = 2 * height;
  const context = canvas.getContext("2d")!;
  context.scale(2, 2);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  const write = (text: string, x: number, y: number, room: number, style = `13px ${FONT}`, ink = INK): void => {
    context.font = style;
    context.fillStyle = ink;
    context.fillText(cut(context, text, room), x, y);
  };
  write(sheet.title, GAP, 26, width - 2 * GAP, `600 16px ${FONT}`);
  layout.columns.forEach((value, i) => {
    const { title, below } = sheet.headingOf(layout.across, value);
    const x = left + i * (cell.width + GAP);
    write(title, x, 54, cell.width, `600 13px ${FONT}`);
    if (below) write(below, x, 54 + LINE, cell.width, `12px ${FONT}`, SOFT);
  });
  layout.rows.forEach((_, i) => {
    let y = 84 + i * step + 16;
    rowHeadings(layout, i, sheet.headingOf).forEach(({ title, below }) => {
      write(title, GAP, y, SIDE, `600 13px ${FONT}`);
      if (below) write(below, GAP, (y += LINE), SIDE, `12px ${FONT}`, SOFT);
      y += LINE + 3;
    });
  });
  for (const { one, canvas: map, text } of maps) {
    const x = left + one.column * (cell.width + GAP);
    const y = 84 + one.row * step;
    if (!map) {
      wrapped(context, text, cell.width, `12px ${FONT}`).forEach((line, i) => {
        if (i * LINE < cell.height) write(line, x, y + 16 + i * LINE, cell.width, `12px ${FONT}`, SOFT);
      });
      continue;
    }
    const factor = Math.min(cell.width / map.width, cell.height / map.height);
    context.drawImage(map, x, y, map.width * factor, map.height * factor);
    write(text, x, y + map.height * factor + 14, cell.width, `12px ${FONT}`);
  }
  write(sheet.footer, GAP, height - 12, width - 2 * GAP, `12px ${FONT}`, SOFT);
  return canvas;
}

function cut(context: CanvasRenderingContext2D, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  let short = text;
  while (short && context.measureText(`${short}…`).width > room) short = short.slice(0, -1);
  return `${short}…`;
}

function wrapped(context: CanvasRenderingContext2D, text: string, room: number, style: string): string[] {
  context.font = style;
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line ? `${line} ${word}` : word;
    if (line && context.measureText(longer).width > room) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return line ? [...lines, line] : lines;
}
