"""Do the pages hold together: nothing over the edge, the heat in its place, every size of picture?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render import text
from camlucida.render.canvas import GUTTER_PT, MARGIN_PT, PAPER_COLOUR, Sheet
from camlucida.render.fonts import font_for
from camlucida.render.map_grid import draw_grid
from camlucida.render.panel import COLUMN_PT, draw_panel
from camlucida.render.probability_bars import Bar

LONG = "American Staffordshire terrier, Staffordshire terrier, American pit bull terrier, pit bull terrier"
BARS = (
    Bar("bull mastiff", 0.62, True),
    Bar(LONG, 0.21),
    Bar("boxer", 0.0001),
    Bar("x" * 300, 1.0),
    Bar("", 0.0),
)
SIZES = [(1, 1), (3, 1), (32, 32), (1200, 24), (24, 1200), (500, 375), (375, 500), (97, 97), (2600, 1000)]


def margin_is_empty(page: Image.Image, density: float) -> bool:
    """True if nothing at all is drawn within 20 points of the edge."""
    array = np.array(page)
    inner = round(20 * density)
    array[inner:-inner, inner:-inner] = Image.new("RGB", (1, 1), PAPER_COLOUR).getpixel((0, 0))
    return bool((array == 255).all())


def grey_page(heat: np.ndarray, **options: object) -> np.ndarray:
    image = Image.new("RGB", heat.shape[::-1], "#808080")
    return np.asarray(draw_panel(image, heat, title="t", density=1, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("density", [1.0, 2.0])
def test_every_size_fits(size: tuple[int, int], density: float) -> None:
    image = Image.new("RGB", size, "teal")
    heat = np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size[::-1])
    page = draw_panel(
        image, heat, BARS, title=LONG * 3, subtitle=LONG * 3, score_label="logit 14.2", note=LONG * 5,
        footer=LONG * 3, scale=(-1e-9, 123456.0), density=density,
    )  # fmt: skip
    assert page.mode == "RGB"
    assert page.width == round((3 * COLUMN_PT + 2 * GUTTER_PT + 2 * MARGIN_PT) * density)
    assert margin_is_empty(page, density)


def test_a_large_picture_is_reduced() -> None:
    page = draw_panel(Image.new("RGB", (4000, 3000)), np.zeros((3000, 4000), np.float32), title="t", density=1)
    assert page.width == 1032
    assert page.height < 600


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("size", [(400, 300), (32, 24), (900, 100)])
def test_the_hot_corner_is_hot_in_heat_map_and_overlay(corner: tuple[int, int], size: tuple[int, int]) -> None:
    """Red if the map is flipped, transposed or laid on the wrong picture."""
    width, height = size
    heat = np.zeros((height, width))
    rows = slice(0, height // 4) if corner[0] == 0 else slice(-(height // 4), None)
    columns = slice(0, width // 4) if corner[1] == 0 else slice(-(width // 4), None)
    heat[rows, columns] = 1
    cool, hot = grey_page(np.zeros((height, width))), grey_page(heat)
    changed = (cool != hot).any(axis=2)
    for top, left, bottom, right in picture_areas(size):
        part = changed[top:bottom, left:right]
        y, x = np.argwhere(part).mean(axis=0)
        assert (y > (bottom - top) / 2) == (corner[0] == 1)
        assert (x > (right - left) / 2) == (corner[1] == 1)
        part[:] = False
    assert not changed.any()  # the photograph itself, words and scale are the same


def picture_areas(size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) of heat map and overlay: what another picture and other heat change."""
    grey = grey_page(np.zeros(size[::-1]))
    image = Image.new("RGB", size, "#ff00ff")
    other = np.asarray(draw_panel(image, np.ones(size[::-1]), title="t", density=1))
    areas = rectangles((grey != other).any(axis=2))
    assert len(areas) == 3
    return areas[1:]


def rectangles(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The rectangles of a mask that holds a row or a column of them."""

    def runs(line: np.ndarray) -> list[tuple[int, int]]:
        where = np.flatnonzero(line)
        parts = np.split(where, np.flatnonzero(np.diff(where) > 1) + 1)
        return [(int(part[0]), int(part[-1]) + 1) for part in parts]

    return [
        (top, left, bottom, right)
        for top, bottom in runs(mask.any(axis=1))
        for left, right in runs(mask[top:bottom].any(axis=0))
    ]


def test_the_explained_class_and_longer_bars_stand_out() -> None:
    def ink(bar: Bar) -> int:
        return int((grey_page(np.zeros((30, 40)), bars=(bar,)) != 255).any(axis=2).sum())

    def accent(bar: Bar) -> int:
        return int((grey_page(np.zeros((30, 40)), bars=(bar,)) == (0xC8, 0x32, 0x2B)).all(axis=2).sum())

    assert accent(Bar("a", 0.0)) == 0
    assert accent(Bar("a", 0.2, True)) < accent(Bar("a", 0.4, True)) < accent(Bar("a", 0.8, True))
    assert ink(Bar("a", 0.5)) > 0


@pytest.mark.parametrize("probability", [-1.0, 7.0, float("nan"), float("inf")])
def test_impossible_probabilities_do_not_crash(probability: float) -> None:
    assert grey_page(np.zeros((30, 40)), bars=(Bar("a", probability),)).size


def test_inputs_stay() -> None:
    image, heat = Image.new("RGB", (40, 30), "teal"), np.full((30, 40), np.nan)
    draw_panel(image, heat, BARS, title="t")
    assert_array_equal(np.asarray(image), np.asarray(Image.new("RGB", (40, 30), "teal")))
    assert np.isnan(heat).all()


def test_refusals() -> None:
    image = Image.new("RGB", (40, 30))
    with pytest.raises(MethodError, match="does not fit"):
        draw_panel(image, np.zeros((40, 30)), title="t")
    with pytest.raises(MethodError, match="Did you mean 'turbo'"):
        draw_panel(image, np.zeros((30, 40)), title="t", colormap="trubo")


# --- grid ---


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", [1, 3, 12])
def test_grids_of_every_size(size: tuple[int, int], columns: int) -> None:
    heat = np.full(size[::-1], 0.5, np.float32)
    heat[0, 0] = np.nan
    cells = [[(heat, LONG)] * columns, ["It failed, because " + LONG] * columns]
    image = Image.new("RGB", size, "teal")
    names = [LONG] * columns
    for original in (image, [image, image]):
        page = draw_grid(cells, rows=["layer1", LONG], columns=names, title=LONG, original=original, footer=LONG)
        assert margin_is_empty(page, 2)


def test_a_grid_shows_the_picture_of_its_row() -> None:
    pictures = [Image.new("RGB", (40, 30), colour) for colour in ("#ff0000", "#0000ff")]
    cells = [[(np.zeros((30, 40)), "")]] * 2
    page = np.asarray(draw_grid(cells, rows=["a", "b"], columns=["c"], title="t", original=pictures))
    red, blue = ((page == colour).all(axis=2) for colour in ((255, 0, 0), (0, 0, 255)))
    assert red.sum() == blue.sum() > 2 * 30 * 40
    assert np.argwhere(red)[:, 0].max() < np.argwhere(blue)[:, 0].min()


def test_the_hot_corner_is_hot_in_every_cell() -> None:
    heat, image = np.zeros((30, 40)), Image.new("RGB", (40, 30), "#808080")
    heat[:6, -8:] = 1

    def page(first: np.ndarray) -> np.ndarray:
        cells = [[(first, ""), (np.zeros((30, 40)), "")]]
        return np.asarray(draw_grid(cells, rows=["a"], columns=["c", "d"], title="t", original=image, density=1))

    cells = (page(np.zeros((30, 40))) != page(np.ones((30, 40)))).any(axis=2)
    changed = (page(np.zeros((30, 40))) != page(heat)).any(axis=2)
    ((top, left, bottom, right),) = rectangles(cells)
    ((hot_top, hot_left, hot_bottom, hot_right),) = rectangles(changed)
    assert (hot_top, hot_right) == (top, right)
    assert hot_bottom - top == pytest.approx((bottom - top) / 5, abs=1)
    assert right - hot_left == pytest.approx((right - left) / 5, abs=1)


def test_grid_refusals() -> None:
    image, cell = Image.new("RGB", (4, 3)), (np.zeros((3, 4)), "")
    with pytest.raises(MethodError, match="2 rows and 1 columns are named"):
        draw_grid([[cell]], rows=["a", "b"], columns=["c"], title="t", original=image)
    with pytest.raises(MethodError, match="1 rows and 0 columns"):
        draw_grid([[]], rows=["a"], columns=[], title="t", original=image)
    with pytest.raises(MethodError, match="2 pictures for 1 rows"):
        draw_grid([[cell]], rows=["a"], columns=["c"], title="t", original=[image, image])
    with pytest.raises(MethodError, match="does not fit"):
        draw_grid([[(np.zeros((4, 3)), "")]], rows=["a"], columns=["c"], title="t", original=image)


# --- words ---


def test_names_lose_synonyms_before_letters() -> None:
    full = text.text_width(LONG, 20)
    assert text.truncate_name(LONG, 20, full) == LONG
    assert text.truncate_name(LONG, 20, full - 1).endswith("American pit bull terrier")
    assert text.truncate_name(LONG, 20, text.text_width("American Staffordshire terrier", 20)) == LONG.split(",")[0]
    assert text.truncate_name(LONG, 20, text.text_width("American Staff…", 20)) == "American Staff…"
    assert text.truncate_name(LONG, 20, 0) == ""


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80), st.floats(0, 400))
def test_what_is_cut_fits_and_can_be_drawn(words: str, room: float) -> None:
    plain = text.drawable(words)
    assert all(map(font_for, plain))
    assert text.text_width(text.truncate(plain, 14, room), 14) <= room
    lines = text.wrap_lines(plain, 14, room, 3)
    assert len(lines) <= 3
    assert all(text.text_width(line, 14) <= room for line in lines)


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0, "0.0 %"),
        (1e-9, "< 0.1 %"),
        (0.0834, "8.3 %"),
        (0.9999, "> 99.9 %"),
        (1, "100.0 %"),
        (float("nan"), "?"),
    ],
)
def test_percent(probability: float, words: str) -> None:
    assert text.format_percent(probability) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (-0.0, "0"), (12.345, "12.3"), (-0.00456, "-0.00456"), (1234567, "1.23e+6"), (3e-9, "3e-9")],
)
def test_number(value: float, words: str) -> None:
    assert text.format_number(value) == words


def test_a_sheet_grows() -> None:
    sheet = Sheet(100, 2)
    sheet.text(10, 5000, "far down")
    assert sheet.trimmed(5040).size == (200, 10080)
