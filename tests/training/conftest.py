"""Small data sets that can be learned in a second: a bright patch on the left, in the middle or on the right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIDE = 32
NAMES = ("left", "middle", "right")


def patch(position: int, seed: int) -> Image.Image:
    """Noise with a bright patch in one of three positions."""
    rng = np.random.default_rng([position, seed])
    pixels = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
    top, left = int(rng.integers(2, 20)), 1 + 10 * position + int(rng.integers(0, 2))
    pixels[top : top + 9, left : left + 9] = 230
    return Image.fromarray(pixels)


@pytest.fixture
def patches(tmp_path: Path) -> Callable[..., Path]:
    """A folder with so many images of each class."""

    def make(*counts: int, names: tuple[str, ...] = NAMES) -> Path:
        root = tmp_path / "patches"
        for position, (name, count) in enumerate(zip(names, counts, strict=False)):
            (root / name).mkdir(parents=True)
            for i in range(count):
                patch(position % 3, i).save(root / name / f"{i:03d}.png")
        return root

    return make
