// Numbers with intervals, one below the other on one axis. Made of boxes, so that letters keep their size.

interface Row {
  name: string;
  value: number | null;
  low: number | null;
  high: number | null;
}

interface Props {
  title: string;
  rows: readonly Row[];
  /** The axis; as wide as the intervals if not given. */
  range?: readonly [number, number];
  help: string;
}

export function IntervalPlot({ title, rows, range, help }: Props) {
  const known = rows.filter((row) => row.value !== null);
  const ends = known.flatMap((row) => [row.low ?? row.value!, row.high ?? row.value!, row.value!]);
  const [from, to] = range ?? rounded(Math.min(0, ...ends), Math.max(0, ...ends));
  const at = (value: number): string => `${(100 * (value - from)) / (to - from)}%`;
  const label = `${title}: ${known.map((row) => `${row.name} ${row.value!.toFixed(2)}`).join(", ")}`;
  return (
    <figure class="dots" role="img" aria-label={label}>
      <figcaption>
        <b>{title}</b>
        <span class="note">{help}</span>
      </figcaption>
      {known.map((row) => (
        <div class="line" key={row.name}>
          <span class="name">{row.name}</span>
          <div class="track">
            {from < 0 && to > 0 && <span class="zero" style={{ left: at(0) }} />}
            <span class="span" style={{ left: at(row.low ?? row.value!), right: `calc(100% - ${at(row.high ?? row.value!)})` }} />
            <span class="dot" style={{ left: at(row.value!) }} />
          </div>
        </div>
      ))}
      <div class="line axis">
        <span class="name" />
        <div class="track">
          {ticks(from, to).map((value) => (
            <span class="tick" key={value} style={{ left: at(value) }}>
              {String(Number(value.toPrecision(6))).replace("-", "−")}
            </span>
          ))}
        </div>
      </div>
    </figure>
  );
}

/** A little wider than the ends, to round numbers. */
function rounded(low: number, high: number): [number, number] {
  const step = stepOf(high - low || 1);
  return [Math.floor(low / step) * step, Math.ceil(high / step) * step || step];
}

function stepOf(length: number): number {
  const rough = length / 4;
  const ten = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * ten).find((step) => step >= rough)!;
}

function ticks(from: number, to: number): number[] {
  const step = stepOf(to - from);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}
