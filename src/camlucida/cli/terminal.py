"""A terminal that escapes control characters, so that untrusted names cannot move the cursor or change colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from camlucida._escaping import printable

if TYPE_CHECKING:
    from camlucida.evaluation.records import Summary
    from camlucida.evaluation.statistics import Interval

MAX_FAILURES = 5
"""Maximum number of failures that are printed; all of them are in the table that the command writes."""


class Terminal(Console):
    r"""A console that prints control characters and bidirectional marks as escapes, such as `\x1b[2J`.

    Every string passes through `render_str`, where line feeds are escaped as well, because a file name may contain one
    and would start a line of its own. All other output passes through `render`. Names such as :dog: are not emoji.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(emoji=False, **kwargs)

    def render_str(self, text: str, **kwargs: Any) -> Text:
        """Return a string as rich text, with its control characters escaped."""
        return super().render_str(printable(text, lines=False), **kwargs)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render any object; control segments that rich itself creates are kept."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def print_line(self, text: str) -> None:
        """Print one line without markup; it is not wrapped, so that it is also one line in a pipe."""
        self.print(text, highlight=False, markup=False, soft_wrap=True)

    def print_paths(self, paths: Iterable[Path]) -> None:
        """Print the paths of the files that were written, one per line."""
        for path in paths:
            self.print_line(f"→ {path}")

    def print_failure(self, name: str, reason: object) -> None:
        """Print the name of an input that failed, in red, and the reason."""
        self.print(f"[red]{escape(name)}[/]: {escape(str(reason))}", highlight=False, soft_wrap=True)

    def print_failures(self, failures: Sequence[tuple[str, str]], table: str) -> None:
        """Print the first failures, and how many more the table contains.

        Args:
            failures: Pairs of a name and a reason.
            table: Where all failures are listed.
        """
        for name, reason in failures[:MAX_FAILURES]:
            self.print_failure(name, reason)
        if len(failures) > MAX_FAILURES:
            self.print_line(f"… and {len(failures) - MAX_FAILURES:,} more, in {table}.")


def interval_text(interval: Interval | Summary, digits: str) -> str:
    """Return a value and its interval, such as 0.61 0.58–0.64; a dash for what is not known.

    Args:
        interval: The value with its interval, whose ends are NaN if it is computed from too few images.
        digits: How a number is formatted, such as ".2f".
    """
    if math.isnan(interval.value):
        return "–"
    ends = f"{interval.low:{digits}}–{interval.high:{digits}}" if math.isfinite(interval.low) else "–"
    return f"{interval.value:{digits}} {ends}"
