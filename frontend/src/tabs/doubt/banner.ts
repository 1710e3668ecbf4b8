// The verdict in a few words, with a sign whose shape says it, too.

import { h, svg } from "../../dom";
import { percent } from "../../numbers";
import type { Verdict } from "./wire";

const WORDS: Record<Verdict["level"], { kind: string; title: string; plain: string }> = {
  supported: { kind: "good", title: "Supported", plain: "The map passed all tests." },
  "weakly supported": { kind: "care", title: "Weakly supported", plain: "The tests support the map with reservations:" },
  "not supported": { kind: "bad", title: "Not supported", plain: "The reason:" },
  "cannot tell": { kind: "unknown", title: "Cannot tell", plain: "The reason:" },
};

export function banner(told: Verdict): HTMLElement {
  const { kind, title, plain } = WORDS[told.level];
  const others = told.predicted === told.target ? "" : `; the predicted class is ${told.predicted}`;
  return h(
    "section",
    { class: `banner ${kind}`, role: "status" },
    icon(kind),
    h(
      "div",
      {},
      h("h2", {}, title),
      h("p", { class: "soft" }, `The map for ${told.target}, ${percent(told.probability)}${others}.`),
      h("p", {}, plain),
      told.reasons.length > 0 && h("ul", {}, ...told.reasons.map((reason) => h("li", {}, upper(reason), "."))),
    ),
  );
}

const upper = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);


const PATHS: Record<string, string> = {
  good: "M6 12.5l4 4 8-9",
  care: "M12 6.5v7M12 17.2v.3",
  bad: "M7.5 7.5l9 9M16.5 7.5l-9 9",
  unknown: "M9 9.2a3 3 0 1 1 4.4 2.7c-1 .5-1.4 1.1-1.4 2.1M12 17.2v.3",
};
const FRAMES: Record<string, string> = {
  good: "M12 1.8a10.2 10.2 0 1 0 .01 0z",
  care: "M12 2L23 21.5H1z",
  bad: "M7.8 1.8h8.4l6 6v8.4l-6 6H7.8l-6-6V7.8z",
  unknown: "M12 1.8a10.2 10.2 0 1 0 .01 0z",
};

/** A sign whose shape says it, too: circle, triangle, octagon. */
function icon(kind: string): SVGSVGElement {
  return svg(
    "svg",
    { class: "sign", viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("path", { class: "frame", d: FRAMES[kind]! }),
    svg("path", { class: "stroke", d: PATHS[kind]!, transform: kind === "care" ? "translate(0 2)" : "" }),
  );
}
