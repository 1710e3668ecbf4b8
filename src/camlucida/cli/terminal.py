"""A terminal that escapes control characters, so that untrusted names cannot move the cursor or change colours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from camlucida._escaping import printable


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
