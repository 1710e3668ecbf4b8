// Points as they are drawn: dots or thumbnails, crosses for wrong predictions, rings around marked points, the lasso.

/** A colour per point (or the name of one in the style sheet, "--soft"), a cross for wrong predictions; muted points are faint. */
export interface PointStyle {
  colours: readonly string[];
  crossed: readonly boolean[];
  muted: readonly boolean[];
}

/** The thumbnails of all points, in one image: the tile of point i is at row i / columns and column i % columns. */
export class ThumbnailSheet {
  private readonly columns: number;

  constructor(private readonly image: ImageBitmap) {
    this.columns = image.width / TILE_PX;
  }

  draw(context: CanvasRenderingContext2D, point: number, x: number, y: number, side: number): void {
    const [left, top] = [(point % this.columns) * TILE_PX, Math.floor(point / this.columns) * TILE_PX];
    context.drawImage(this.image, left, top, TILE_PX, TILE_PX, x - side / 2, y - side / 2, side, side);
  }
}

/** The side of a thumbnail of the server. */
const TILE_PX = 32;

export interface Drawing {
  /** The points in the order in which they are drawn. */
  order: readonly number[];
  /** Where a point is, in CSS pixels. */
  place(point: number): [number, number];
  style: PointStyle;
  radius: number;
  /** Of the canvas in CSS pixels, and how many of its own go into one of them. */
  size: [number, number];
  by: number;
  marked: number | null;
  near: readonly number[];
  /** The thumbnails, if they are to be drawn instead of dots, and their side in CSS pixels. */
  thumbnails: ThumbnailSheet | null;
  side: number;
  lasso: readonly [number, number][];
}

/** Muted points first, wrong predictions last. */
export function drawingOrder({ colours, crossed, muted }: PointStyle): number[] {
  const rank = (i: number): number => (muted[i] ? 0 : crossed[i] ? 2 : 1);
  return [...colours.keys()].sort((a, b) => rank(a) - rank(b));
}

export function drawPoints(canvas: HTMLCanvasElement, drawing: Drawing): void {
  const { order, place, style, radius: r, size, by, marked, near, thumbnails, side, lasso } = drawing;
  const context = canvas.getContext("2d")!;
  const colour = named(getComputedStyle(canvas));
  const [ink, paper, soft] = ["--ink", "--paper", "--soft"].map(colour) as [string, string, string];
  context.setTransform(by, 0, 0, by, 0, 0);
  context.clearRect(0, 0, ...size);
  context.lineJoin = context.lineCap = "round";
  const { colours, crossed, muted } = style;
  const edge = Math.max(r, thumbnails ? side / 2 : 0);
  const drawThumbnail = (i: number, x: number, y: number): void => {
    context.fillStyle = colour(colours[i]!);
    context.fillRect(x - side / 2 - 2, y - side / 2 - 2, side + 4, side + 4);
    thumbnails!.draw(context, i, x, y, side);
    if (crossed[i]) cross(context, x + side / 2 - 2, y - side / 2 + 2, 4, colour(colours[i]!), ink);
  };
  for (const i of order) {
    const [x, y] = place(i);
    if (x < -edge || y < -edge || x > size[0] + edge || y > size[1] + edge) continue;
    context.globalAlpha = muted[i] ? 0.16 : 1;
    if (thumbnails && !muted[i]) drawThumbnail(i, x, y);
    else {
      const shape = crossed[i] ? cross : dot;
      shape(context, x, y, r, muted[i] ? soft : colour(colours[i]!), muted[i] ? null : ink);
    }
  }
  context.globalAlpha = 1;
  const around = (i: number): number => (thumbnails && !muted[i] ? (side / 2) * Math.SQRT2 : r); // the corners, too
  for (const i of near) ring(context, ...place(i), around(i) + 3, ink, paper, 1.4);
  if (marked !== null) {
    if (thumbnails && !muted[marked]) drawThumbnail(marked, ...place(marked)); // above the others
    ring(context, ...place(marked), around(marked) + 5, ink, paper, 2.4);
  }
  if (lasso.length > 1) outline(context, lasso, ink, paper);
}

function outline(context: CanvasRenderingContext2D, path: readonly [number, number][], ink: string, paper: string): void {
  for (const [colour, width] of [
    [paper, 4],
    [ink, 1.6],
  ] as const) {
    context.beginPath();
    for (const at of path) context.lineTo(...at);
    context.closePath();
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
}

/** A colour, or what the style sheet has under that name now. */
function named(style: CSSStyleDeclaration): (colour: string) => string {
  const known = new Map<string, string>();
  return (colour) => {
    if (!colour.startsWith("--")) return colour;
    if (!known.has(colour)) known.set(colour, style.getPropertyValue(colour).trim());
    return known.get(colour)!;
  };
}

type Shape = (
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  r: number,
  colour: string,
  edge: string | null,
) => void;

const cross: Shape = (context, x, y, r, colour, edge) => {
  const d = r * 0.95;
  context.beginPath();
  context.moveTo(x - d, y - d);
  context.lineTo(x + d, y + d);
  context.moveTo(x + d, y - d);
  context.lineTo(x - d, y + d);
  context.lineWidth = r * 0.95 + 1.6;
  if (edge) {
    context.strokeStyle = edge;
    context.stroke();
  }
  context.lineWidth = r * 0.8;
  context.strokeStyle = colour;
  context.stroke();
};

const dot: Shape = (context, x, y, r, colour, edge) => {
  context.beginPath();
  context.arc(x, y, r, 0, 7);
  context.fillStyle = colour;
  context.fill();
  if (!edge) return;
  context.lineWidth = 0.8;
  context.strokeStyle = edge;
  context.globalAlpha = 0.5; // dark dots on a dark ground have an edge, too
  context.stroke();
};

function ring(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  r: number,
  ink: string,
  paper: string,
  width: number,
): void {
  for (const [colour, more] of [
    [paper, 2],
    [ink, 0],
  ] as const) {
    context.beginPath();
    context.arc(x, y, r, 0, 7);
    context.lineWidth = width + more;
    context.strokeStyle = colour;
    context.stroke();
  }
}
