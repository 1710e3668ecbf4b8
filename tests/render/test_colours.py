"""Colour maps have the published colours, and are legible without colour vision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from camlucida.errors import MethodError
from camlucida.render.colours import COLORMAPS, NAN_COLOUR, apply_colormap
from camlucida.render.palettes import DEFAULT_COLORMAP, PALETTES

ANCHORS = {  # matplotlib's values at 0, 1/4, 1/2, 3/4, 1
    "viridis": [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)],
    "magma": [(0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)],
    "turbo": [(48, 18, 59), (40, 188, 235), (164, 252, 60), (251, 126, 33), (122, 4, 3)],
}
RAMP = np.linspace(0, 1, 257)


@pytest.mark.parametrize("name", ANCHORS)
def test_anchors(name: str) -> None:
    steps = np.array([0, 64, 128, 192, 255]) / 255  # the positions in matplotlib's table
    assert_allclose(apply_colormap(steps, name).astype(int), ANCHORS[name], atol=2)


@pytest.mark.parametrize("name", COLORMAPS)
def test_control_colours_are_exact(name: str) -> None:
    palette = PALETTES[name]
    expected = [list(bytes.fromhex(colour)) for colour in palette.colours]
    tolerance = 3 if name == "jet" else 0  # its corners lie between our steps
    assert_allclose(apply_colormap(np.array(palette.positions), name).astype(int), expected, atol=tolerance)


def lightness(colours: np.ndarray) -> np.ndarray:
    """Return CIE L* of sRGB colours, from 0 to 100."""
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


@pytest.mark.parametrize("name", [DEFAULT_COLORMAP, "viridis", "magma"])
def test_lightness_is_monotonic(name: str) -> None:
    levels = lightness(apply_colormap(RAMP, name))
    assert (np.diff(levels) > -0.4).all()  # the error of rounding to 8 bits
    assert levels[-1] - levels[0] > 70


def test_signed_is_symmetric_about_zero() -> None:
    levels = lightness(apply_colormap(RAMP, "signed"))
    assert levels.argmax() == 128
    assert_allclose(levels, levels[::-1], atol=7)
    middle = apply_colormap(np.array(0.5), "signed").astype(int)
    assert np.ptp(middle) == 0
    negative, positive = apply_colormap(np.array([0.1, 0.9]), "signed").astype(int)
    assert negative[2] > negative[0] + 80
    assert positive[0] > positive[2] + 80


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
def test_shape_and_type(shape: tuple[int, ...]) -> None:
    colours = apply_colormap(np.zeros(shape, np.float16))
    assert colours.shape == (*shape, 3)
    assert colours.dtype == np.uint8


def test_nan_is_grey_and_the_input_is_unmodified() -> None:
    values = np.array([0.0, np.nan, 1.0])
    assert_array_equal(apply_colormap(values)[1], NAN_COLOUR)
    assert_array_equal(values, [0, np.nan, 1])
    assert_array_equal(apply_colormap(np.full((2, 2), np.nan)), np.full((2, 2, 3), NAN_COLOUR))


def test_invalid_arguments() -> None:
    with pytest.raises(MethodError, match="Did you mean 'viridis'"):
        apply_colormap(RAMP, "virdis")
    with pytest.raises(MethodError, match="map values from 0 to 255"):
        apply_colormap(np.array([0, 255]))
    with pytest.raises(MethodError, match="Normalise"):
        apply_colormap(np.array([np.inf]))
