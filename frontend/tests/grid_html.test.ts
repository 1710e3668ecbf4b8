// The grid as a file: names may contain anything.

import { expect, test } from "vitest";
import { escaped } from "../src/tabs/compare/grid_html";

test("names cannot end an attribute or begin an element", () => {
  expect(escaped(`<img src=x onerror="a('b')">&`)).toBe("&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;&amp;");
});
