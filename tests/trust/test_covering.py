"""A picture with a part of it covered."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from camlucida.errors import MethodError
from camlucida.trusting.covering import covered


def two_halves() -> Image.Image:
    """64 x 64: left red, right blue."""
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[:, :32, 0] = 200
    pixels[:, 32:, 2] = 100
    return Image.fromarray(pixels)


LEFT = np.arange(64)[None].repeat(64, 0) < 32


@pytest.mark.parametrize("cover", ["blur", "grey", "mean"])
def test_nothing_covered_is_the_same_picture(cover: str) -> None:
    same = covered(two_halves(), np.zeros((8, 8), dtype=bool), cover)  # type: ignore[arg-type]
    assert same.tobytes() == two_halves().tobytes()


def test_all_covered_with_grey_is_grey() -> None:
    made = np.asarray(covered(two_halves(), np.ones((1, 1), dtype=bool), "grey"))
    assert (made == 128).all()


def test_the_mean_is_that_of_what_is_left() -> None:
    made = np.asarray(covered(two_halves(), LEFT, "mean")).astype(int)
    assert np.abs(made[:, :8] - [[10, 0, 95]]).max() <= 12  # a little red shines in from the soft edge
    assert (made[:, 56:] == [0, 0, 100]).all()


def test_blur_is_a_blur_of_the_picture_itself() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    made = np.asarray(covered(Image.fromarray(noise), np.ones((2, 2), dtype=bool), "blur")).astype(float)
    assert made.std() < 0.1 * noise.std()
    assert abs(made.mean() - noise.mean()) < 3


def test_edges_are_soft_and_the_rest_is_not_touched() -> None:
    mask = np.zeros((16, 16), dtype=bool)
    mask[4:12, 4:12] = True
    white = Image.new("RGB", (128, 128), "white")
    made = np.asarray(covered(white, mask, "grey")).astype(int)[64, :, 0]
    assert (made[:20] == 255).all()
    assert (made[48:80] == 128).all()
    assert np.abs(np.diff(made)).max() < 40


def test_an_unknown_cover_is_named() -> None:
    with pytest.raises(MethodError, match="Did you mean 'grey'"):
        covered(two_halves(), LEFT, "gray")  # type: ignore[arg-type]
