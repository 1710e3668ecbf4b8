// Points as they are drawn: dots, crosses for wrong predictions, rings around marked points, thumbnails.

/** A colour per point (or the name of one in the style sheet, "--soft"), a cross for wrong predictions; muted points are faint. */
export interface PointStyle {
  colours: readonly string[];
  crossed: readonly boolean[];
  muted: readonly boolean[];
}

export interface Drawing {
  count: number;
  /** Where a point is, in CSS pixels. */
  place(point: number): [number, number];
  style: PointStyle;
  radius: number;
  /** Of the canvas in CSS pixels, and how many of its own go into one of them. */
  size: [number, number];
  by: number;
  marked: number | null;
  near: readonly number[];
  /** The image of a point, if it is to be drawn instead of a dot. */
  thumbnail: ((point: number) => HTMLImageElement | null) | null;
}

export function drawPoints(canvas: HTMLCanvasElement, drawing: Drawing): void {
  const { count, place, style, radius: r, size, by, marked, near, thumbnail } = drawing;
  const context = canvas.getContext("2d")!;
  const colour = named(getComputedStyle(canvas));
  const [ink, paper, soft] = ["--ink", "--paper", "--soft"].map(colour) as [string, string, string];
  context.setTransform(by, 0, 0, by, 0, 0);
  context.clearRect(0, 0, ...size);
  context.lineJoin = context.lineCap = "round";
  const { colours, crossed, muted } = style;
  const rank = (i: number): number => (muted[i] ? 0 : crossed[i] ? 2 : 1);
  for (const i of [...Array(count).keys()].sort((a, b) => rank(a) - rank(b))) {
    const [x, y] = place(i);
    if (x < -r || y < -r || x > size[0] + r || y > size[1] + r) continue;
    context.globalAlpha = muted[i] ? 0.16 : 1;
    const image = muted[i] ? null : thumbnail?.(i);
    if (image) {
      drawThumbnail(context, image, x, y, colour(colours[i]!));
      continue;
    }
    const shape = crossed[i] ? cross : dot;
    shape(context, x, y, r, muted[i] ? soft : colour(colours[i]!), muted[i] ? null : ink);
  }
  context.globalAlpha = 1;
  for (const i of near) ring(context, ...place(i), r + 3, ink, paper, 1.4);
  if (marked !== null) ring(context, ...place(marked), r + 5, ink, paper, 2.4);
}

const THUMBNAIL_PX = 30;

/** A thumbnail with a frame in the colour of its point. */
function drawThumbnail(context: CanvasRenderingContext2D, image: HTMLImageElement, x: number, y: number, colour: string): void {
  const scale = THUMBNAIL_PX / Math.max(image.naturalWidth, image.naturalHeight);
  const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  context.fillStyle = colour;
  context.fillRect(x - width / 2 - 2, y - height / 2 - 2, width + 4, height + 4);
  context.drawImage(image, x - width / 2, y - height / 2, width, height);
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
