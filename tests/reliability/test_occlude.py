"""Occlusion of a region of an image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from camlucida.errors import MethodError
from camlucida.reliability.occlude import occlude


def two_halves() -> Image.Image:
    """Return an image of 64 x 64, red on the left and blue on the right."""
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:, :32, 0] = 200
    pixels[:, 32:, 2] = 100
    return Image.fromarray(pixels)


LEFT = np.arange(64)[None].repeat(64, 0) < 32


@pytest.mark.parametrize("infill", ["blur", "grey", "mean"])
def test_empty_mask_changes_nothing(infill: str) -> None:
    result = occlude(two_halves(), np.zeros((8, 8), dtype=bool), infill)  # type: ignore[arg-type]
    assert result.tobytes() == two_halves().tobytes()


def test_full_mask_with_grey() -> None:
    result = np.asarray(occlude(two_halves(), np.ones((1, 1), dtype=bool), "grey"))
    assert (result == 128).all()


def test_mean_infill_is_the_mean_outside_the_mask() -> None:
    result = np.asarray(occlude(two_halves(), LEFT, "mean")).astype(int)
    assert np.abs(result[:, :8] - [[10, 0, 95]]).max() <= 12  # a little red from the soft edge
    assert (result[:, 56:] == [0, 0, 100]).all()


def test_blur_infill() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    result = np.asarray(occlude(Image.fromarray(noise), np.ones((2, 2), dtype=bool), "blur")).astype(float)
    assert result.std() < 0.1 * noise.std()
    assert abs(result.mean() - noise.mean()) < 3


def test_mask_edges_are_soft() -> None:
    mask = np.zeros((16, 16), dtype=bool)
    mask[4:12, 4:12] = True
    white = Image.new("RGB", (128, 128), "white")
    result = np.asarray(occlude(white, mask, "grey")).astype(int)[64, :, 0]
    assert (result[:20] == 255).all()
    assert (result[48:80] == 128).all()
    assert np.abs(np.diff(result)).max() < 40


def test_unknown_infill_raises() -> None:
    with pytest.raises(MethodError, match="Did you mean 'grey'"):
        occlude(two_halves(), LEFT, "gray")  # type: ignore[arg-type]
