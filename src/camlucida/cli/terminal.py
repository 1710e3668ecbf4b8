"""A terminal that escapes control characters, so that untrusted names cannot move the cursor or change colours."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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


Mode: TypeAlias = Literal["text", "quiet", "json"]


class Terminal(Console):
    r"""A console that prints control characters and bidirectional marks as escapes, such as `\x1b[2J`.

    Every string passes through `render_str`, where line feeds are escaped as well, because a file name may contain one
    and would start a line of its own. All other output passes through `render`. Names such as :dog: are not emoji.

    In the mode "quiet" only inputs that failed are printed, to standard error. In the mode "json" the results are
    collected, and `finish` prints them as one JSON document; inputs that failed are part of it.
    """

    def __init__(self, *, mode: Mode = "text", command: str = "", **kwargs: Any) -> None:
        super().__init__(emoji=False, quiet=mode != "text", **kwargs)
        self.mode = mode
        self._document: dict[str, Any] = {"command": command}
        self._files: list[str] = []
        self._failures: list[dict[str, str]] = []

    @property
    def progress_console(self) -> Console:
        """The console on which progress is displayed: this one, or in the mode "json" that of standard error."""
        return Terminal(stderr=True) if self.mode == "json" else self

    def add(self, **results: Any) -> None:
        """Add results to the JSON document: dataclasses, containers, numbers, paths and text."""
        self._document |= results

    def finish(self, code: int = 0) -> int:
        """Print the JSON document in the mode "json", and return the exit code of the command unchanged."""
        if self.mode == "json":
            document = self._document | {"files": self._files, "failures": self._failures, "exit_code": code}
            sys.stdout.write(json.dumps(to_json(document), indent=2, allow_nan=False) + "\n")  # ASCII only
        return code

    def on_broken_pipe(self) -> None:
        """End without a message and with exit code 0: a reader such as `head` has read all that it wants."""
        try:
            super().on_broken_pipe()  # rich closes standard output and exits with 1
        except SystemExit:
            raise SystemExit(0) from None

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
            self.note_files([path])
            self.print_line(f"→ {path}")

    def note_files(self, paths: Iterable[Path]) -> None:
        """Add files that were written to the JSON document, where a line of text names them already."""
        self._files += [str(path) for path in paths]

    def print_failure(self, name: str, reason: object) -> None:
        """Print the name of an input that failed, in red, and the reason."""
        self._failures.append({"name": name, "reason": str(reason)})
        self._print_failure(name, reason)

    def print_failures(self, failures: Sequence[tuple[str, str]], table: str) -> None:
        """Print the first failures, and how many more the table contains.

        Args:
            failures: Pairs of a name and a reason.
            table: Where all failures are listed.
        """
        self._failures += [{"name": name, "reason": reason} for name, reason in failures]
        for name, reason in failures[:MAX_FAILURES]:
            self._print_failure(name, reason)
        if len(failures) > MAX_FAILURES:
            self.print_line(f"… and {len(failures) - MAX_FAILURES:,} more, in {table}.")

    def _print_failure(self, name: str, reason: object) -> None:
        console = Terminal(stderr=True) if self.mode == "quiet" else self
        console.print(f"[red]{escape(name)}[/]: {escape(str(reason))}", highlight=False, soft_wrap=True)


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


def to_json(value: Any) -> Any:
    """Return a value as JSON values: NaN and infinities, which JSON does not have, as null; anything else as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [to_json(item) for item in value]
    return to_json(value.item()) if hasattr(value, "item") else str(value)
