// A run in numbers: how often it is right, and how far its confidence can be believed.

import { h } from "../../dom";
import { counted, digits, tenths } from "../../numbers";
import { plot } from "../../parts/plot";
import type { Overall, Range } from "./wire";

export function overall(found: Overall): HTMLElement[] {
  const c = found.calibration;
  const lines = found.sentences.map((text) => h("li", {}, text));
  const chance = c && `up to ${tenths(c.chance[1])} by chance`;
  return [
    h(
      "div",
      { class: "figures" },
      within("correct", found.accuracy),
      found.top5 && within("in the top 5", found.top5),
      c && figure(tenths(c.ece), "calibration error", chance!),
      figure(found.wrong.toLocaleString("en"), "wrong", `of ${counted(found.judged, "image")}`),
    ),
    h(
      "details",
      { class: "card" },
      h("summary", {}, "Summary"),
      h("div", { class: "saying" }, h("ul", {}, ...lines), c && reliability(c)),
      found.failed > 0 && h("ul", { class: "note" }, ...found.failures.map((one) => h("li", {}, `${one.name}: ${one.reason}`))),
    ),
  ];
}

const figure = (value: string, name: string, below: string): HTMLElement =>
  h("div", { class: "figure" }, h("b", {}, value), h("span", {}, name), h("small", {}, below));

const within = (name: string, range: Range): HTMLElement =>
  figure(tenths(range.value), name, range.low === null ? "" : `${tenths(range.low)} to ${tenths(range.high)}`);

function reliability(c: NonNullable<Overall["calibration"]>): HTMLElement {
  const known = c.bins.filter((bin) => bin.count > 0);
  const each = known.map(
    (bin) => `confidence ${tenths(bin.confidence)}, accuracy ${tenths(bin.accuracy)}, ${counted(bin.count, "image")}`,
  );
  const help = c.temperature === null ? "" : ` A temperature of ${digits(c.temperature)} would help; it is not applied.`;
  const lines = [
    { name: "calibrated", points: [[0, 0], [1, 1]] as const, kind: "quiet" },
    { name: "accuracy", points: known.map((bin) => [bin.confidence!, bin.accuracy!] as const) },
  ];
  return h(
    "figure",
    {},
    plot(
      lines,
      { x: "confidence", y: "accuracy", xs: [0, 1], ys: [0, 1] },
      `Accuracy by confidence: ${each.join("; ")}`,
    ),
    h("figcaption", { class: "note" }, `Dashed: accuracy equal to confidence.${help}`),
  );
}
