// Tables: heads that sort, and a row below another one.

import { h, render } from "preact";
import { expect, test, vi } from "vitest";
import { type Column, Table } from "../src/shared/table";

interface Row {
  name: string;
  value: number;
}

const COLUMNS: Column<Row>[] = [
  { head: "name", sort: "name", cell: (row) => row.name },
  { head: "value", sort: "value", note: "high is good", cell: (row) => row.value, td: (row) => ({ class: row.value > 1 ? "best" : "" }) },
  { head: "", cell: () => "more" },
];
const ROWS = [{ name: "a", value: 1 }, { name: "b", value: 2 }];
const TABLE = { columns: COLUMNS, rows: ROWS, keyOf: (row: Row) => row.name };

test("the head tells how the rows are sorted, and asks for another order", () => {
  const change = vi.fn();
  const page = document.createElement("div");
  const sorted = { by: "value", descending: true, change, pressable: true };
  render(h(Table<Row>, { ...TABLE, caption: "Two rows", sorted }), page);
  const heads = [...page.querySelectorAll("thead th")];
  expect(heads.map((head) => head.getAttribute("aria-sort"))).toEqual(["none", "descending"]);
  expect(heads[1]!.textContent).toBe("value ↓high is good");
  expect(page.querySelectorAll("thead td").length).toBe(1); // no head without a text
  expect(page.querySelector("caption")!.textContent).toBe("Two rows");
  const [name, value] = [...page.querySelectorAll<HTMLButtonElement>("thead button")];
  expect([name!, value!].map((button) => button.getAttribute("aria-pressed"))).toEqual(["false", "true"]);
  name!.click();
  expect(change).toHaveBeenCalledWith("name");
});

test("the first cell is the head of its row; a detail is as wide as the table", () => {
  const page = document.createElement("div");
  const detail = (row: Row) => row.name === "b" && "about b";
  render(h(Table<Row>, { ...TABLE, detail }), page);
  const rows = [...page.querySelectorAll("tbody tr")];
  expect(rows.map((row) => row.textContent)).toEqual(["a1more", "b2more", "about b"]);
  expect(page.querySelectorAll("tbody th[scope=row]").length).toBe(2);
  expect(page.querySelector("td.best")!.textContent).toBe("2");
  expect(page.querySelector(".detail td")!.getAttribute("colspan")).toBe("3");
});
