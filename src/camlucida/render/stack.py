"""Several pages on one, below each other."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from camlucida.render.canvas import PAPER_COLOUR


def stack_pages(pages: Sequence[Image.Image]) -> Image.Image:
    """Return one page with all pages below each other, aligned on the left, as wide as the widest.

    Args:
        pages: The pages, RGB, at least one.
    """
    stacked = Image.new("RGB", (max(page.width for page in pages), sum(page.height for page in pages)), PAPER_COLOUR)
    top = 0
    for page in pages:
        stacked.paste(page, (0, top))
        top += page.height
    return stacked
