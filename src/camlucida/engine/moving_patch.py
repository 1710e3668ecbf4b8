"""A noise image, and the same with a patch of other noise at one of eight positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import nested
from camlucida.engine.named_inputs import image_path

CENTRES = (1 / 6, 1 / 2, 5 / 6)
"""Centres of the patches along each side, in fractions of it; the position in the middle of both is left out."""

PATCH_FRACTION = 1 / 8
"""Side of the patch, in fractions of the image's side."""


@dataclass(frozen=True)
class Patch:
    """A patch of noise.

    Attributes:
        rows: Its rows in the image.
        columns: Its columns in the image.
        centre: (y, x) of its centre, in fractions of the image's sides.
    """

    rows: slice
    columns: slice
    centre: tuple[float, float]


class NoiseImage:
    """A noise image in place of the image in the network's inputs, and the same with a patch of other noise."""

    def __init__(self, inputs: Any) -> None:
        self._inputs = inputs
        self._path = image_path(inputs)
        like = next(t for path, t in nested.tensors(inputs) if path == self._path)
        self._generator = torch.Generator().manual_seed(0)
        self._image = torch.randn(like.shape, generator=self._generator, dtype=torch.float32).to(like)
        self.patches = list(_patches(int(like.shape[-2]), int(like.shape[-1])))

    def plain(self) -> Any:
        """Return the network's inputs with the noise image."""
        return self._with(self._image.clone())

    def with_patch(self, patch: Patch) -> Any:
        """Return the network's inputs with a patch of other noise in the noise image."""
        image = self._image.clone()
        region = image[..., patch.rows, patch.columns]
        region.copy_(torch.randn(region.shape, generator=self._generator, dtype=torch.float32).to(region))
        return self._with(image)

    def _with(self, image: Tensor) -> Any:
        return nested.transform(self._inputs, lambda path, t: image if path == self._path else t.clone())


def _patches(height: int, width: int) -> Iterator[Patch]:
    side_y, side_x = max(1, round(height * PATCH_FRACTION)), max(1, round(width * PATCH_FRACTION))
    for y in CENTRES:
        for x in CENTRES:
            if (y, x) != (0.5, 0.5):
                top, left = round(y * height - side_y / 2), round(x * width - side_x / 2)
                centre = ((top + side_y / 2) / height, (left + side_x / 2) / width)
                yield Patch(slice(top, top + side_y), slice(left, left + side_x), centre)
