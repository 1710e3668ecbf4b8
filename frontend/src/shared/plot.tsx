// Lines over common axes, drawn as SVG; a wide plot has a grid and a cursor that follows the pointer.

export interface Line {
  name: string;
  /** A class of the style sheet. */
  kind: string;
  points: readonly (readonly [number, number])[];
  /** Instead of the stroke of its class. */
  stroke?: { stroke: string; strokeDasharray: string };
  /** The area below it has a colour. */
  filled?: boolean;
}

interface Axis {
  label: string;
  range: readonly [number, number];
  /** The ends of the range, if not given. */
  ticks?: readonly number[];
  text?: (value: number) => string;
}

interface Props {
  lines: readonly Line[];
  x: Axis;
  y: Axis;
  /** The same as text, for those who cannot see it. */
  label: string;
  wide?: boolean;
  /** A marked point. */
  cursor?: readonly [number, number] | undefined;
  /** Told the value on the horizontal axis under the pointer. */
  point?: (x: number) => void;
}

const SMALL = { width: 280, height: 160, left: 38, right: 10, top: 8, bottom: 30 };
const WIDE = { width: 440, height: 240, left: 44, right: 12, top: 10, bottom: 36 };

export function Plot({ lines, x, y, label, wide, cursor, point }: Props) {
  const { width, height, left, right, top, bottom } = wide ? WIDE : SMALL;
  const [x0, x1] = x.range;
  const [y0, y1] = y.range;
  const across = (at: number): number => left + ((at - x0) / (x1 - x0 || 1)) * (width - left - right);
  const up = (at: number): number => height - bottom - ((at - y0) / (y1 - y0 || 1)) * (height - top - bottom);
  const move = (event: PointerEvent): void => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const fraction = (((event.clientX - box.left) / box.width) * width - left) / (width - left - right);
    point?.(x0 + Math.min(1, Math.max(0, fraction)) * (x1 - x0));
  };
  return (
    <svg class={wide ? "walk" : "plot"} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label} onPointerMove={move} onPointerDown={move}>
      {(wide ? (y.ticks ?? []) : [y0]).map((at) => <line key={at} class="axis" x1={left} x2={width - right} y1={up(at)} y2={up(at)} />)}
      {!wide && <line class="axis" x1={left} x2={left} y1={up(y0)} y2={up(y1)} />}
      {(y.ticks ?? y.range).map((at) => (
        <text key={at} class="tick" x={left - 4} y={up(at) + 3} text-anchor="end">{(y.text ?? tick)(at)}</text>
      ))}
      {(x.ticks ?? x.range).map((at) => (
        <text key={at} class="tick" x={across(at)} y={height - bottom + 14} text-anchor={wide && at === x1 ? "end" : "middle"}>
          {(x.text ?? tick)(at)}
        </text>
      ))}
      <text class="label" x={(left + width) / 2} y={height - 4} text-anchor="middle">{x.label}</text>
      <text class="label" transform={`translate(10 ${height / 2 - 10}) rotate(-90)`} text-anchor="middle">{y.label}</text>
      {lines.map(({ name, kind, points, stroke, filled }) => {
        const path = points.map(([a, b]) => `${across(a).toFixed(1)},${up(b).toFixed(1)}`).join(" ");
        const [start, end] = [points[0]?.[0] ?? x0, points.at(-1)?.[0] ?? x0];
        return (
          <g key={name}>
            {filled && <polygon class="area" points={`${across(start)},${up(0)} ${path} ${across(end)},${up(0)}`} />}
            <polyline class={`line ${kind}`} style={stroke} points={path} />
          </g>
        );
      })}
      {cursor && <line class="cursor" x1={across(cursor[0])} x2={across(cursor[0])} y1={up(y1)} y2={up(y0)} />}
      {cursor && <circle class="cursor" cx={across(cursor[0])} cy={up(cursor[1])} r={4.5} />}
    </svg>
  );
}

const tick = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(2)).replace("-", "−");
