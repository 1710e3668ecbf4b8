"""Overlays: low map values display the image, high ones the colour map."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from camlucida.errors import MethodError
from camlucida.render.colours import NAN_COLOUR, apply_colormap
from camlucida.render.overlay import BACKGROUND_CONTRAST, NAN_FADE, fade, grey_background, overlay, tint
from camlucida.render.resize import display_size, resize_heatmap, resize_image, stretch_note

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (20, 30, 3), np.uint8)
IMAGE = Image.fromarray(PHOTO)
HEATMAP = RNG.uniform(0, 1, (20, 30))
HOLED = np.where(HEATMAP < 0.3, np.nan, HEATMAP)
RAMP = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (48, 1))
GREY = Image.new("RGB", (64, 48), (120, 120, 120))


@pytest.mark.parametrize("blend", ["saliency", "uniform"])
def test_opacity_0_is_the_image(blend: str) -> None:
    assert_array_equal(np.asarray(overlay(IMAGE, HOLED, opacity=0, blend=blend)), PHOTO)


def test_opacity_1_is_the_colour_map() -> None:
    assert_array_equal(np.asarray(overlay(IMAGE, HEATMAP, opacity=1, blend="uniform")), apply_colormap(HEATMAP))
    assert_array_equal(np.asarray(overlay(IMAGE, HEATMAP, opacity=1)), apply_colormap(HEATMAP))


@pytest.mark.parametrize("opacity", [0.2, 0.5, 0.8])
def test_closed_form(opacity: float) -> None:
    colours = apply_colormap(HEATMAP).astype(float)
    uniform = (1 - opacity) * PHOTO + opacity * colours
    assert_allclose(np.asarray(overlay(IMAGE, HEATMAP, opacity=opacity, blend="uniform")), uniform, atol=0.51)
    transmitted = ((1 - opacity) ** (2 * HEATMAP))[..., None]
    blended = transmitted * PHOTO + (1 - transmitted) * colours
    assert_allclose(np.asarray(overlay(IMAGE, HEATMAP, opacity=opacity)), blended, atol=0.51)


def test_zero_leaves_the_image_unmodified() -> None:
    assert_array_equal(np.asarray(overlay(IMAGE, np.zeros((20, 30)))), PHOTO)


def test_diverging_colour_map_has_a_grey_background() -> None:
    grey = np.asarray(IMAGE.convert("L"), float)
    background = np.asarray(grey_background(IMAGE)).astype(float)
    assert_allclose(background, np.repeat((255 - BACKGROUND_CONTRAST * (255 - grey))[..., None], 3, axis=2), atol=0.51)
    zero = np.full((20, 30), 0.5)
    assert_array_equal(np.asarray(overlay(IMAGE, zero, colormap="signed")), background)
    assert_array_equal(np.asarray(overlay(IMAGE, zero, opacity=0, colormap="signed")), PHOTO)
    half = np.asarray(overlay(IMAGE, zero, opacity=0.25, colormap="signed"))
    assert_allclose(half, (PHOTO + background) / 2, atol=0.51)


def test_both_signs_are_coloured() -> None:
    heatmap = np.full((20, 30), 0.5)
    heatmap[0, 0], heatmap[-1, -1] = 0, 1
    result = np.asarray(overlay(IMAGE, heatmap, colormap="signed")).astype(int)
    assert_array_equal(np.argwhere((result != np.asarray(grey_background(IMAGE))).any(axis=2)), [(0, 0), (19, 29)])
    assert result[0, 0, 2] > result[0, 0, 0] + 40  # negative: blue
    assert result[-1, -1, 0] > result[-1, -1, 2] + 40  # positive: red


def test_nan_is_faded_without_colour() -> None:
    result = np.asarray(overlay(IMAGE, HOLED, opacity=0.6)).astype(float)
    faded = PHOTO + NAN_FADE * (np.array(NAN_COLOUR) - PHOTO)
    hole = np.isnan(HOLED)
    assert_allclose(result[hole], faded[hole], atol=0.51)
    assert_allclose(np.asarray(fade(IMAGE)), faded, atol=1.01)
    assert_allclose(result[~hole], np.asarray(overlay(IMAGE, HEATMAP, opacity=0.6))[~hole])


def test_highlighted_corner_is_not_flipped_or_transposed() -> None:
    heatmap = np.zeros((20, 30))
    heatmap[:5, -5:] = 1
    grey = Image.new("RGB", (30, 20), "#808080")
    changed = (np.asarray(overlay(grey, heatmap)) != 128).any(axis=2)
    assert_array_equal(changed, heatmap == 1)


def test_tint_has_the_colour_of_the_strongest_map() -> None:
    strengths = np.zeros((3, 20, 30))
    strengths[0, :, :10], strengths[1, :, 5:20], strengths[2, 3, 29] = 0.6, 0.8, 1
    strengths[:, 19] = np.nan
    colours = ["ff0000", "00ff00", "0000ff"]
    result = np.asarray(tint(IMAGE, strengths, colours, opacity=0.7)).astype(float)
    background = np.asarray(grey_background(IMAGE)).astype(float)
    for rows, columns, colour, strength in (
        (slice(0, 19), slice(0, 5), (255, 0, 0), 0.6),
        (slice(0, 19), slice(5, 20), (0, 255, 0), 0.8),
        (slice(3, 4), slice(29, 30), (0, 0, 255), 1),
        (slice(0, 19), slice(20, 29), (0, 0, 0), 0),
    ):
        transmitted = (1 - 0.7) ** (2 * strength)
        expected = transmitted * background[rows, columns] + (1 - transmitted) * np.array(colour)
        assert_allclose(result[rows, columns], expected, atol=0.51)
    faded = background[19] + NAN_FADE * (np.array(NAN_COLOUR) - background[19])
    assert_allclose(result[19], faded, atol=0.51)
    assert_array_equal(np.asarray(tint(IMAGE, strengths, colours, opacity=0)), PHOTO)
    with pytest.raises(MethodError, match="does not fit an image"):
        tint(IMAGE, strengths.transpose(0, 2, 1), colours)


def test_inputs_are_unmodified_and_other_modes_work() -> None:
    image, heatmap = IMAGE.copy(), HOLED.copy()
    overlay(image, heatmap, contour=0.5).paste("red", (0, 0, 30, 20))
    assert_array_equal(np.asarray(image), PHOTO)
    assert_array_equal(heatmap, HOLED)
    assert overlay(IMAGE.convert("L"), HEATMAP.astype(np.float16)).mode == "RGB"


def test_contour_surrounds_high_values() -> None:
    heatmap = np.zeros((40, 60))
    heatmap[10:20, 30:50] = 1
    image = Image.new("RGB", (60, 40), "#808080")
    line = (np.asarray(overlay(image, heatmap, opacity=0, contour=0.5)) != 128).any(axis=2)
    assert line[8:22, 28:52].sum() == line.sum() == 14 * 24 - 10 * 20
    assert overlay(Image.new("RGB", (1, 1)), np.ones((1, 1)), contour=0.5).size == (1, 1)


@pytest.mark.parametrize(
    ("heatmap", "options", "message"),
    [
        (HEATMAP.T, {}, r"shape \(30, 20\) does not fit an image of size \(30, 20\)"),
        (HEATMAP, {"opacity": 1.5}, "opacity is 1.5"),
        (HEATMAP, {"opacity": float("nan")}, "opacity is nan"),
        (HEATMAP, {"blend": "unifrom"}, "Did you mean 'uniform'"),
        (HEATMAP, {"colormap": "yet"}, "Did you mean 'jet'"),
        (HEATMAP * 9, {}, "Normalise it first"),
    ],
)
def test_invalid_arguments(heatmap: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        overlay(IMAGE, heatmap, **options)  # type: ignore[arg-type]


# --- displayed sizes ---


@pytest.mark.parametrize(
    ("size", "expected"),
    [((32, 32), (600, 600)), ((90, 90), (540, 540)), ((1200, 24), (600, 75)), ((4000, 3000), (600, 450)),
     ((1, 1), (600, 600)), ((10, 5000), (100, 800)), ((5000, 1), (600, 75)), ((4800, 600), (600, 75))],
)  # fmt: skip
def test_display_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert display_size(size, (600, 800)) == expected


def test_narrow_images_are_stretched_and_said_to_be() -> None:
    assert stretch_note((4800, 600)) == ""
    assert stretch_note((4000, 60)) == "height × 8.3"
    assert stretch_note((60, 4000)) == "width × 8.3"
    heatmap = np.zeros((4, 256), np.float32)
    heatmap[1, 64] = 1
    photo, resized = resize_image(Image.new("RGB", (256, 4)), (512, 64)), resize_heatmap(heatmap, (512, 64))
    assert photo.size == display_size((256, 4), (512, 512)) == resized.shape[::-1]
    row, column = np.unravel_index(resized.argmax(), resized.shape)
    assert (int(row) // 16, int(column) // 2) == (1, 64)


def test_tiny_images_are_enlarged_without_interpolation() -> None:
    tiny = RNG.integers(0, 256, (4, 4, 3), np.uint8)
    large = np.asarray(resize_image(Image.fromarray(tiny), (40, 40)))
    assert_array_equal(large, np.kron(tiny, np.ones((10, 10, 1), np.uint8)))


@pytest.mark.parametrize("size", [(100, 100), (400, 400), (150, 600)])
def test_nan_does_not_spread(size: tuple[int, int]) -> None:
    heatmap = np.full((200, 200), 0.7, np.float32)
    heatmap[:, :53] = np.nan  # the edge is not at an integer number of displayed pixels
    resized = resize_heatmap(heatmap, size)
    assert resized.shape == size[::-1]
    assert_allclose(resized[~np.isnan(resized)], 0.7, rtol=1e-5)
    edge = 53 / 200 * size[0]
    assert np.isnan(resized).sum(axis=1) == pytest.approx(edge, abs=1)


def test_contour_surrounds_both_signs() -> None:
    heatmap = np.full((60, 90), 0.5, np.float32)
    heatmap[20:40, 10:30], heatmap[20:40, 60:80] = 0.0, 1.0
    image = Image.new("RGB", (90, 60), (128, 128, 128))
    line = (np.asarray(overlay(image, heatmap, opacity=0, contour=0.4, colormap="signed")) != 128).any(axis=2)
    negated = (np.asarray(overlay(image, 1 - heatmap, opacity=0, contour=0.4, colormap="signed")) != 128).any(axis=2)
    np.testing.assert_array_equal(line, negated)
    assert line[19, 10:30].all()
    assert line[19, 60:80].all()
    assert not line[:10].any()


def test_small_map_is_enlarged_without_new_values() -> None:
    """The filter depends on the size of the map, not on the size at which it is drawn."""
    result = resize_heatmap(np.array([[0.0, 1.0]], dtype=np.float32), (200, 100))
    assert set(np.unique(result)) == {0.0, 1.0}


@pytest.mark.parametrize("contour", [0.25, 0.75])
def test_contour_lies_at_its_value(contour: float) -> None:
    without, with_contour = (np.asarray(overlay(GREY, RAMP, contour=value), dtype=int) for value in (None, contour))
    changed = np.flatnonzero(np.abs(with_contour - without).sum(2)[24])
    assert abs(changed.mean() / 63 - contour) < 0.1
