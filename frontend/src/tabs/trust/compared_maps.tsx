// The maps that the tested map was compared with: one or two of each kind.

import { useMemo } from "preact/hooks";
import { Field } from "../../maps/field";
import { plainGeometry } from "../../maps/landing";
import { unpack } from "../../maps/packed";
import { fixed } from "../../numbers";
import { MapView } from "../../shared/map_view";
import type { Verdict } from "./schemas";

const CLASS_KINDS = ["second class", "random class", "random class"];

export function ComparedMaps({ found, input }: { found: Verdict; input: HTMLImageElement }) {
  const compared = useMemo(() => {
    if (!found.maps) return [];
    const fields = unpack(found.maps).map(
      (grid) => new Field(grid, plainGeometry(input.naturalWidth, input.naturalHeight), true, false, 100),
    );
    const classes = found.classes.slice(0, 3).map((one, i) => ({ ...one, words: `${one.name}, ${CLASS_KINDS[i]}`, field: fields[i]! }));
    const first = found.classes.length;
    const noisy = found.noise.slice(0, 1).map((one) => ({ ...one, words: "with noise", field: fields[first]! }));
    const at = first + found.noise.length;
    const shifted = found.shifts.slice(0, 1).map((one) => ({ ...one, words: "shifted", field: fields[at]! }));
    return [...classes, ...noisy, ...shifted];
  }, [found, input]);
  if (!compared.length) return null;
  return (
    <section class="card compared">
      <h3>Compared maps</h3>
      <p class="note">
        With their rank correlation: 1 if the maps rank all positions in the same order, 0 if the orders are unrelated.
      </p>
      <div class="small">
        {compared.map(({ words, correlation, field }, i) => {
          const caption = `${words}: ${correlation === null ? "no map" : fixed(correlation)}`;
          return <MapView key={i} kind="overlay" side={224} image={input} field={field} label={caption} caption={caption} />;
        })}
      </div>
    </section>
  );
}
