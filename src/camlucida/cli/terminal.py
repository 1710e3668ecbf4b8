"""The terminal of all commands: what strangers named cannot move its cursor, recolour it, or turn a line round."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from camlucida._escaping import printable


class Terminal(Console):
    r"""A console that shows control characters and marks of direction as escapes, as in `\x1b[2J`.

    Every string passes through `render_str`, where a line feed is escaped too: a file name may hold one, and would
    write a line of its own. Whatever is drawn otherwise passes through `render`. Names like :dog: are no emoji.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(emoji=False, **kwargs)

    def render_str(self, text: str, **kwargs: Any) -> Text:
        """Turn a string into text, what stands in it being escaped first."""
        return super().render_str(printable(text, lines=False), **kwargs)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Draw anything; segments that are rich's own control codes stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
