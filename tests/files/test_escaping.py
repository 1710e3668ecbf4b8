"""Names of strangers are text, whatever they hold: in a spreadsheet, on a terminal, in a report."""

from __future__ import annotations

import ast
import csv
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.markup import escape
from rich.table import Table
from rich.text import Text

import camlucida
from camlucida._escaping import csv_cell, csv_text, plain_cell, printable
from camlucida.cli.terminal import Terminal
from camlucida.report.templates import write_page

ROOT = Path(camlucida.__file__).parent
EVIL = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "''-x"]
SAFE = ["cat", "a=b", "1-2", "-5", "-0.25", "+1e-05", "-.5", "'quoted'", "", "nan", "-inf"]
MARKS = [
    "\x1b[31m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\rb",
    "\x08\x08",
    "\u202egnp",
    "\u2066x",
    "\u200fx",
    "\u2028",
    "\x7f",
]


@pytest.mark.parametrize("text", EVIL)
def test_no_cell_is_a_formula(text: str) -> None:
    assert csv_cell(text) == f"'{text}"
    assert plain_cell(f"'{text}") == text


@pytest.mark.parametrize("value", [*SAFE, -1, -0.5, 3, None, True])
def test_numbers_and_plain_words_stay(value: object) -> None:
    assert csv_cell(value) is value


@given(st.text())
def test_a_cell_comes_back(text: str) -> None:
    cell = csv_cell(text)
    assert plain_cell(cell) == text
    assert cell == text or cell[0] == "'"


@given(st.lists(st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=2, max_size=2)))
def test_a_table_comes_back(rows: list[list[str]]) -> None:
    text = csv_text(["=a", "b"], rows)
    header, *read = csv.reader(io.StringIO(text, newline=""))
    assert header == ["'=a", "b"]
    assert [[plain_cell(cell) for cell in row] for row in read] == rows
    assert csv_text(["=a", "b"], [{"=a": a, "b": b} for a, b in rows]) == text
    assert csv_text(["=a", "b"], rows, header=False) == text.split("\r\n", 1)[1]


def test_one_module_writes_csv() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}: {ast.unparse(node)[:60]}"
        for file in ROOT.rglob("*.py")
        if file.name != "_escaping.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("DictWriter", "writer")
        and ast.unparse(node.value) == "csv"
    ]
    assert not wrong


@given(st.text())
def test_what_is_printable_moves_nothing(text: str) -> None:
    shown = printable(text, lines=False)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    turns = {"RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI"}
    assert not [c for c in shown if unicodedata.bidirectional(c) in turns]
    assert not set(shown) & set("\u200e\u200f\u061c")
    assert printable(shown, lines=False) == shown


def test_letters_of_every_script_stay() -> None:
    for text in ("naïve café", "猫", "שלום", "مرحبا", "हिन्दी", "👩‍👩‍👧", "a\tb\nc"):
        assert printable(text) == text
    assert printable("a\tb\nc", lines=False) == r"a\tb\nc"


def raw(text: str) -> list[str]:
    """What of a terminal's output is neither a letter nor a line feed."""
    return [c for c in text if c != "\n" and printable(c) != c]


@pytest.mark.parametrize("mark", MARKS)
def test_a_terminal_shows_marks_as_escapes(mark: str) -> None:
    name = f"{mark}evil[red].png"
    sink = io.StringIO()
    terminal = Terminal(file=sink, force_terminal=False, width=100)
    table = Table(title=escape(name))
    table.add_column(escape(name))
    table.add_row(escape(name))
    terminal.print(f"[red]{escape(name)}[/]", soft_wrap=True)
    terminal.print(name, markup=False, soft_wrap=True)
    terminal.print(table)
    terminal.print(Text(name))
    out = sink.getvalue()
    assert not raw(out)
    assert out.count("evil[red].png") == 6
    assert out.count(printable(mark, lines=False)) >= 5


def test_a_name_writes_no_line_of_its_own_and_is_no_emoji() -> None:
    sink = io.StringIO()
    Terminal(file=sink, width=100).print("a\nall is well :dog:", markup=False)
    assert sink.getvalue() == "a\\nall is well :dog:\n"


def test_colours_of_our_own_stay() -> None:
    sink = io.StringIO()
    Terminal(file=sink, force_terminal=True, color_system="standard", width=100).print("[red]x[/]")
    assert "\x1b[31mx\x1b[0m" in sink.getvalue()


def test_every_command_prints_by_that_terminal() -> None:
    wrong = [
        f"{file.name}:{node.lineno}"
        for file in (ROOT / "cli").glob("*.py")
        if file.name != "terminal.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("Console", "print", "rich.print", "sys.stdout.write")
    ]
    assert not wrong


def test_a_report_shows_marks_as_escapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "<p>{{ name }}</p>{{ name | upper }}{{ markup | safe }}{{ 3 }}"
    monkeypatch.setattr("camlucida.report.templates.read_asset", lambda name: template if name == "t" else "")
    name = "".join(MARKS) + "<b>&"
    file = write_page(tmp_path / "page.html", "t", {"name": name, "markup": f"<i>{MARKS[5]}\n</i>"})
    text = file.read_text("utf-8")
    assert not raw(text)
    assert "&lt;b&gt;&amp;" in text
    assert "<i>\\u202egnp\n</i>3" in text
