"""The layout of pages: items in rows, and pages below each other."""

from __future__ import annotations

import pytest
from PIL import Image

from camlucida.render.canvas import PAPER_COLOUR, draw_rows, stack_pages


@pytest.mark.parametrize(
    ("heights", "expected", "end"),
    [
        ([], [], 7.0),
        ([5.0], [(10.0, 7.0)], 12.0),
        ([5.0, 9.0, 1.0, 2.0, 4.0], [(10.0, 7.0), (40.0, 7.0), (10.0, 19.0), (40.0, 19.0), (10.0, 24.0)], 28.0),
    ],
)
def test_rows_start_below_the_longest_item(
    heights: list[float], expected: list[tuple[float, float]], end: float
) -> None:
    positions = []

    def draw(x: float, y: float, height: float) -> float:
        positions.append((x, y))
        return y + height

    assert draw_rows(heights, 2, 10.0, 7.0, 30.0, 3.0, draw) == end
    assert positions == expected


def test_stacked_pages_keep_their_pixels() -> None:
    red, blue = Image.new("RGB", (4, 2), "red"), Image.new("RGB", (3, 5), "blue")
    stacked = stack_pages([red, blue])
    assert stacked.size == (4, 7)
    assert stacked.crop((0, 0, 4, 2)).tobytes() == red.tobytes()
    assert stacked.crop((0, 2, 3, 7)).tobytes() == blue.tobytes()
    assert stacked.getpixel((3, 6)) == Image.new("RGB", (1, 1), PAPER_COLOUR).getpixel((0, 0))
