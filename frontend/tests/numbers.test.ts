// What is written for a class: its probability, or its value where there is none.

import { expect, test } from "vitest";
import { chance } from "../src/numbers";

test.each([
  [{ probability: 0.314, logit: 2 }, "31 %"],
  [{ probability: 0, logit: -80 }, "0 %"],
  [{ probability: null, logit: 41.5 }, "41.5"],
])("chance of %o", (guess, text) => expect(chance(guess)).toBe(text));
