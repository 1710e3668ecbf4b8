"""Panels and grids of maps: all content is inside the margins, at every size of image, and maps are not flipped."""

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
from camlucida.render.page import record_pages
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
RAMP = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (48, 1))
GREY = Image.new("RGB", (64, 48), (120, 120, 120))


def margin_is_empty(page: Image.Image, density: float) -> bool:
    """Return whether nothing is drawn within 20 points of the edge."""
    array = np.array(page)
    inner = round(20 * density)
    array[inner:-inner, inner:-inner] = Image.new("RGB", (1, 1), PAPER_COLOUR).getpixel((0, 0))
    return bool((array == 255).all())


def grey_page(heatmap: np.ndarray, **options: object) -> np.ndarray:
    image = Image.new("RGB", heatmap.shape[::-1], "#808080")
    return np.asarray(draw_panel(image, heatmap, title="t", density=1, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("density", [1.0, 2.0])
def test_every_size_fits(size: tuple[int, int], density: float) -> None:
    image = Image.new("RGB", size, "teal")
    heatmap = np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size[::-1])
    page = draw_panel(
        image, heatmap, BARS, title=LONG * 3, subtitle=LONG * 3, score_label="logit 14.2", note=LONG * 5,
        footer=LONG * 3, scale=(-1e-9, 123456.0), density=density,
    )  # fmt: skip
    assert page.mode == "RGB"
    assert page.width == round((3 * COLUMN_PT + 2 * GUTTER_PT + 2 * MARGIN_PT) * density)
    assert margin_is_empty(page, density)


def test_large_image_is_reduced() -> None:
    page = draw_panel(Image.new("RGB", (4000, 3000)), np.zeros((3000, 4000), np.float32), title="t", density=1)
    assert page.width == 1032
    assert page.height < 600


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("size", [(400, 300), (32, 24), (900, 100)])
def test_highlighted_corner_in_heatmap_and_overlay(corner: tuple[int, int], size: tuple[int, int]) -> None:
    """Fails if the map is flipped, transposed or drawn on the original image."""
    width, height = size
    heatmap = np.zeros((height, width))
    rows = slice(0, height // 4) if corner[0] == 0 else slice(-(height // 4), None)
    columns = slice(0, width // 4) if corner[1] == 0 else slice(-(width // 4), None)
    heatmap[rows, columns] = 1
    changed = (grey_page(np.zeros((height, width))) != grey_page(heatmap)).any(axis=2)
    for top, left, bottom, right in map_areas(size):
        part = changed[top:bottom, left:right]
        y, x = np.argwhere(part).mean(axis=0)
        assert (y > (bottom - top) / 2) == (corner[0] == 1)
        assert (x > (right - left) / 2) == (corner[1] == 1)
        part[:] = False
    assert not changed.any()  # the original image, the text and the scale are equal


def map_areas(size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Return (top, left, bottom, right) of heatmap and overlay: what changes with the image and the map."""
    grey = grey_page(np.zeros(size[::-1]))
    image = Image.new("RGB", size, "#ff00ff")
    other = np.asarray(draw_panel(image, np.ones(size[::-1]), title="t", density=1))
    areas = rectangles((grey != other).any(axis=2))
    assert len(areas) == 3
    return areas[1:]


def rectangles(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return the rectangles of a mask that contains a row or a column of them."""

    def runs(line: np.ndarray) -> list[tuple[int, int]]:
        indices = np.flatnonzero(line)
        parts = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
        return [(int(part[0]), int(part[-1]) + 1) for part in parts]

    return [
        (top, left, bottom, right)
        for top, bottom in runs(mask.any(axis=1))
        for left, right in runs(mask[top:bottom].any(axis=0))
    ]


def test_explained_class_has_the_accent_colour() -> None:
    def drawn_pixels(bar: Bar) -> int:
        return int((grey_page(np.zeros((30, 40)), bars=(bar,)) != 255).any(axis=2).sum())

    def accent_pixels(bar: Bar) -> int:
        return int((grey_page(np.zeros((30, 40)), bars=(bar,)) == (0xC8, 0x32, 0x2B)).all(axis=2).sum())

    assert accent_pixels(Bar("a", 0.0)) == 0
    assert 0 < accent_pixels(Bar("a", 0.2, True)) < accent_pixels(Bar("a", 0.4, True))
    assert accent_pixels(Bar("a", 0.4, True)) < accent_pixels(Bar("a", 0.8, True))
    assert drawn_pixels(Bar("a", 0.5)) > 0


@pytest.mark.parametrize("probability", [-1.0, 7.0, float("nan"), float("inf")])
def test_invalid_probabilities_are_drawn(probability: float) -> None:
    assert grey_page(np.zeros((30, 40)), bars=(Bar("a", probability),)).size


def test_inputs_are_unmodified() -> None:
    image, heatmap = Image.new("RGB", (40, 30), "teal"), np.full((30, 40), np.nan)
    draw_panel(image, heatmap, BARS, title="t")
    assert_array_equal(np.asarray(image), np.asarray(Image.new("RGB", (40, 30), "teal")))
    assert np.isnan(heatmap).all()


def test_invalid_arguments_of_a_panel() -> None:
    image = Image.new("RGB", (40, 30))
    with pytest.raises(MethodError, match="does not fit"):
        draw_panel(image, np.zeros((40, 30)), title="t")
    with pytest.raises(MethodError, match="Did you mean 'turbo'"):
        draw_panel(image, np.zeros((30, 40)), title="t", colormap="trubo")


def test_panel_draws_the_contour() -> None:
    without, with_contour = (np.asarray(draw_panel(GREY, RAMP, title="", contour=value)) for value in (None, 0.5))
    assert not np.array_equal(without, with_contour)


def test_panel_prints_the_scale() -> None:
    first, second = (np.asarray(draw_panel(GREY, RAMP, title="", scale=(0.0, top))) for top in (1.0, 5.0))
    assert not np.array_equal(first, second)


# --- grid ---


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns", [1, 3, 12])
def test_grids_of_every_size(size: tuple[int, int], columns: int) -> None:
    heatmap = np.full(size[::-1], 0.5, np.float32)
    heatmap[0, 0] = np.nan
    cells = [[(heatmap, LONG)] * columns, ["Failed: " + LONG] * columns]
    image = Image.new("RGB", size, "teal")
    names = [LONG] * columns
    for original in (image, [image, image]):
        page = draw_grid(cells, rows=["layer1", LONG], columns=names, title=LONG, original=original, footer=LONG)
        assert margin_is_empty(page, 2)


@pytest.mark.parametrize(("n", "lines"), [(8, [8]), (9, [5, 4]), (20, [7, 7, 6])])
def test_a_long_row_has_several_lines(n: int, lines: list[int]) -> None:
    image, cell = Image.new("RGB", (40, 30)), (np.zeros((30, 40)), "")
    names = [f"box{i}." for i in range(n)]
    with record_pages() as pages:
        draw_grid([[cell] * n], rows=[""], columns=names, title="t", original=image)
    heights = [text.baseline for text in pages[0].elements if getattr(text, "text", "") in names]
    assert [heights.count(y) for y in sorted(set(heights))] == lines
    with record_pages() as pages:  # rows with names are not broken
        draw_grid([[cell] * n] * 2, rows=["a", "b"], columns=names, title="t", original=image)
    assert len({text.baseline for text in pages[0].elements if getattr(text, "text", "") in names}) == 1


def test_grid_displays_the_image_of_each_row() -> None:
    images = [Image.new("RGB", (40, 30), colour) for colour in ("#ff0000", "#0000ff")]
    cells = [[(np.zeros((30, 40)), "")]] * 2
    page = np.asarray(draw_grid(cells, rows=["a", "b"], columns=["c"], title="t", original=images))
    red, blue = ((page == colour).all(axis=2) for colour in ((255, 0, 0), (0, 0, 255)))
    assert red.sum() == blue.sum() > 2 * 30 * 40
    assert np.argwhere(red)[:, 0].max() < np.argwhere(blue)[:, 0].min()


def test_highlighted_corner_of_a_cell() -> None:
    heatmap, image = np.zeros((30, 40)), Image.new("RGB", (40, 30), "#808080")
    heatmap[:6, -8:] = 1

    def page(first: np.ndarray) -> np.ndarray:
        cells = [[(first, ""), (np.zeros((30, 40)), "")]]
        return np.asarray(draw_grid(cells, rows=["a"], columns=["c", "d"], title="t", original=image, density=1))

    first_cell = (page(np.zeros((30, 40))) != page(np.ones((30, 40)))).any(axis=2)
    highlighted = (page(np.zeros((30, 40))) != page(heatmap)).any(axis=2)
    ((top, left, bottom, right),) = rectangles(first_cell)
    ((high_top, high_left, high_bottom, high_right),) = rectangles(highlighted)
    assert (high_top, high_right) == (top, right)
    assert high_bottom - top == pytest.approx((bottom - top) / 5, abs=1)
    assert right - high_left == pytest.approx((right - left) / 5, abs=1)


def test_invalid_arguments_of_a_grid() -> None:
    image, cell = Image.new("RGB", (4, 3)), (np.zeros((3, 4)), "")
    with pytest.raises(MethodError, match="2 rows and 1 columns are named"):
        draw_grid([[cell]], rows=["a", "b"], columns=["c"], title="t", original=image)
    with pytest.raises(MethodError, match="1 rows and 0 columns"):
        draw_grid([[]], rows=["a"], columns=[], title="t", original=image)
    with pytest.raises(MethodError, match="2 images for 1 rows"):
        draw_grid([[cell]], rows=["a"], columns=["c"], title="t", original=[image, image])
    with pytest.raises(MethodError, match="does not fit"):
        draw_grid([[(np.zeros((4, 3)), "")]], rows=["a"], columns=["c"], title="t", original=image)


# --- text ---


def test_names_lose_synonyms_before_letters() -> None:
    full = text.text_width(LONG, 20)
    assert text.truncate_name(LONG, 20, full) == LONG
    assert text.truncate_name(LONG, 20, full - 1).endswith("American pit bull terrier")
    assert text.truncate_name(LONG, 20, text.text_width("American Staffordshire terrier", 20)) == LONG.split(",")[0]
    assert text.truncate_name(LONG, 20, text.text_width("American Staff…", 20)) == "American Staff…"
    assert text.truncate_name(LONG, 20, 0) == ""


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80), st.floats(0, 400))
def test_truncated_and_wrapped_text_fits(content: str, max_width: float) -> None:
    drawable = text.drawable(content)
    assert all(map(font_for, drawable))
    assert text.text_width(text.truncate(drawable, 14, max_width), 14) <= max_width
    lines = text.wrap_lines(drawable, 14, max_width, 3)
    assert len(lines) <= 3
    assert all(text.text_width(line, 14) <= max_width for line in lines)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0, "0.0 %"),
        (1e-9, "< 0.1 %"),
        (0.0834, "8.3 %"),
        (0.9999, "> 99.9 %"),
        (1, "100.0 %"),
        (float("nan"), "?"),
    ],
)
def test_format_percent(probability: float, expected: str) -> None:
    assert text.format_percent(probability) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (-0.0, "0"), (12.345, "12.3"), (-0.00456, "-0.00456"), (1234567, "1.23e+6"), (3e-9, "3e-9")],
)
def test_format_number(value: float, expected: str) -> None:
    assert text.format_number(value) == expected


def test_sheet_grows_downwards() -> None:
    sheet = Sheet(100, 2)
    sheet.text(10, 5000, "far down")
    assert sheet.trimmed(5040).size == (200, 10080)
