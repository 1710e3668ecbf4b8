"""Escape untrusted text, so that terminals, reports and spreadsheets do not interpret it.

printable    replaces control characters and marks of the text direction by visible escapes
csv_text     writes rows as CSV in which no cell is a formula
csv_cell     escapes one cell; `plain_cell` reverses it
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u206a-\u206f"
_UNSEEN = re.compile(
    # C0 except tab and line feed, delete, C1 (U+009B starts an ANSI sequence), line and paragraph separators,
    # direction marks, annotation anchors, lone surrogates, language tags
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_DIRECTION}\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_UNSEEN_IN_A_LINE = re.compile(f"[\t\n]|{_UNSEEN.pattern}")

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""Start of a cell that a spreadsheet may execute, or of an escaped one. The last four characters are full-width."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def printable(text: str, *, lines: bool = True) -> str:
    r"""Escape characters that move the cursor, change colours or reverse the text direction.

    Args:
        text: Any text, such as the name of a file or of a class.
        lines: Whether line feeds and tabs are kept; names contain neither.

    Returns:
        The text with `\x1b`, `\u202e` and the like in place of such characters.
    """
    return (_UNSEEN if lines else _UNSEEN_IN_A_LINE).sub(lambda match: _escaped(match[0]), text)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any] | Sequence[Any]], *, header: bool = True) -> str:
    """Return rows as CSV that a spreadsheet opens without executing anything.

    Args:
        columns: Names of the columns.
        rows: Mappings from these names, where a missing one is an empty cell; or cells in this order.
        header: Whether the first line holds the names.
    """
    lines = io.StringIO(newline="")
    writer = csv.writer(lines)  # quotes \r and \n, which would start a row if unquoted
    if header:
        writer.writerow([csv_cell(name) for name in columns])
    for row in rows:
        cells = [row.get(name, "") for name in columns] if isinstance(row, Mapping) else row
        writer.writerow([csv_cell(cell) for cell in cells])
    return lines.getvalue()


def csv_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet interprets as a formula.

    Text that begins with = + - @, tab or a line break gets a leading apostrophe, as OWASP recommends. Numbers, also
    those written as text, remain numbers.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def plain_cell(text: str) -> str:
    """Return the value from which `csv_cell` made a cell."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _escaped(character: str) -> str:
    number = ord(character)
    if character in "\t\n\r":
        return {"\t": r"\t", "\n": r"\n", "\r": r"\r"}[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
