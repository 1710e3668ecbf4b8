"""Names of strangers on their way out: what a terminal, a report or a spreadsheet would take for a command.

printable    control characters and marks of the direction of text become visible escapes
csv_text     rows as CSV, in which no cell is a formula
csv_cell     one cell of it; `plain_cell` undoes that
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u206a-\u206f"
_UNSEEN = re.compile(
    # C0 without tab and line feed, delete, C1 (U+009B begins an ANSI sequence), line and paragraph separators,
    # direction marks, annotation anchors, lone surrogates, language tags
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_DIRECTION}\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_UNSEEN_IN_A_LINE = re.compile(f"[\t\n]|{_UNSEEN.pattern}")

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet may run, or one that was escaped already. The last four are full-width."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def printable(text: str, *, lines: bool = True) -> str:
    r"""Return text in which nothing is left that moves the cursor, changes colours or turns the direction of reading.

    Args:
        text: Any text, such as the name of a file or of a class.
        lines: Whether line feeds and tabs stay as they are. A name has neither.

    Returns:
        The same with `\x1b`, `\u202e` and the like in place of such characters.
    """
    return (_UNSEEN if lines else _UNSEEN_IN_A_LINE).sub(lambda match: _escaped(match[0]), text)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any] | Sequence[Any]], *, header: bool = True) -> str:
    """Return rows as CSV that a spreadsheet opens without running anything.

    Args:
        columns: Their names.
        rows: Mappings from these names, where a missing one is an empty cell; or cells in this order.
        header: Whether the first line holds the names.
    """
    lines = io.StringIO(newline="")
    writer = csv.writer(lines)  # which quotes \r and \n: unquoted, either would begin a row
    if header:
        writer.writerow([csv_cell(name) for name in columns])
    for row in rows:
        cells = [row.get(name, "") for name in columns] if isinstance(row, Mapping) else row
        writer.writerow([csv_cell(cell) for cell in cells])
    return lines.getvalue()


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula.

    Text that begins with = + - @, tab or a line break gets a leading apostrophe, as OWASP recommends; numbers, also
    those written as text, stay numbers.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def plain_cell(text: str) -> str:
    """Return what `csv_cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _escaped(character: str) -> str:
    number = ord(character)
    if character in "\t\n\r":
        return {"\t": r"\t", "\n": r"\n", "\r": r"\r"}[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
