// Targets as text: their parts, contrasts, and texts that are compared with an image.

import { expect, test } from "vitest";
import { isAt, isPrompt, partsOf, promptOf, promptText, withOther } from "../src/tabs/explain/target_text";

test.each([
  ["box 3", { base: "box 3", name: "", other: "" }],
  ["box 3: cat", { base: "box 3", name: "cat", other: "" }],
  ["box 3: cat rather than dog", { base: "box 3", name: "cat", other: "dog" }],
  ["word 2 token 2: cat rather than dog", { base: "word 2 token 2", name: "cat", other: "dog" }],
  ["class:bus", { base: "class:bus", name: "", other: "" }],
  ["class:bus rather than car at 12.5,8", { base: "class:bus at 12.5,8", name: "", other: "car" }],
  ["edge left of box 3", null],
  ["dog at 120,80", null],
  ["text:a dog", null],
])("%s has parts", (spec, parts) => expect(partsOf(spec)).toEqual(parts));

test.each([
  ["box 3", "dog", "cat", "box 3: dog rather than cat"],
  ["box 3: dog rather than cat", "dog", "fish", "box 3: dog rather than fish"],
  ["box 3: dog rather than cat", "dog", "", "box 3"],
  ["box 3: fish", "dog", "cat", "box 3: fish rather than cat"],
  ["box 3: fish rather than cat", "dog", "", "box 3: fish"],
  ["class:bus at 12,8", "bus", "car", "class:bus rather than car at 12,8"],
  ["class:bus rather than car at 12,8", "bus", "", "class:bus at 12,8"],
  ["edge left of box 3", "", "cat", "edge left of box 3"],
])("%s, a %s, rather than %s", (spec, usual, other, made) => expect(withOther(spec, usual, other)).toBe(made));

test("a target is at its box, also if another class is explained there", () => {
  expect(isAt("box 3: cat rather than dog", "box 3")).toBe(true);
  expect(isAt("box 31", "box 3")).toBe(false);
  expect(isAt("", "")).toBe(false);
});

test.each(["text:a dog", "text:a dog rather than a cat", "text:a dog among a cat, a car", "text:a dog rather than a cat among a car"])(
  "%s is read and written",
  (text) => {
    expect(isPrompt(text)).toBe(true);
    expect(promptText(promptOf(text))).toBe(text);
  },
);

test("without a text there is no target", () => {
  expect(promptText({ text: "", other: "a cat", among: "" })).toBe("");
  expect(promptOf("box 3")).toEqual({ text: "", other: "", among: "" });
});
