"""A noise image, and the same with a patch of other noise at one of eight positions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import nested
from camlucida.engine.image_axes import ImageAxes, find_image

CENTRES = (1 / 6, 1 / 2, 5 / 6)
"""Centres of the patches along each side, in fractions of it; the position in the middle of all is left out."""

PATCH_FRACTION = 1 / 8
"""Side of the patch, in fractions of the image's side."""


@dataclass(frozen=True)
class Patch:
    """A patch of noise.

    Attributes:
        box: Its position along every axis of the image.
        centre: Its centre, (y, x) or (z, y, x) in fractions of the image's sides.
    """

    box: tuple[slice, ...]
    centre: tuple[float, ...]


class NoiseImage:
    """A noise image in place of the image in the network's inputs, and the same with a patch of other noise.

    The patches of an image or a frame lie around its middle; those of a volume in its eight corners.
    """

    def __init__(self, inputs: Any, axes: ImageAxes) -> None:
        self._inputs, self._axes = inputs, axes
        self._path, like = find_image(inputs)
        self._generator = torch.Generator().manual_seed(0)
        self._image = torch.randn(like.shape, generator=self._generator, dtype=torch.float32).to(like)
        size = axes.grid(like)
        self.patches = list(_patches(size[1:] if axes.frames else size))

    def plain(self) -> Any:
        """Return the network's inputs with the noise image."""
        return self._with(self._image.clone())

    def with_patch(self, patch: Patch) -> Any:
        """Return the network's inputs with a patch of other noise in the noise image."""
        image = self._image.clone()
        region = self._axes.to_grid(image)
        for axis, part in enumerate(patch.box, start=region.ndim - len(patch.box)):
            region = region.narrow(axis, part.start, part.stop - part.start)
        region.copy_(torch.randn(region.shape, generator=self._generator, dtype=torch.float32).to(region))
        return self._with(image)

    def _with(self, image: Tensor) -> Any:
        return nested.transform(self._inputs, lambda path, t: image if path == self._path else t.clone())


def _patches(size: tuple[int, ...]) -> Iterator[Patch]:
    sides = [max(1, round(length * PATCH_FRACTION)) for length in size]
    centres = CENTRES if len(size) == 2 else (CENTRES[0], CENTRES[-1])
    for position in itertools.product(centres, repeat=len(size)):
        if set(position) == {0.5}:
            continue
        starts = [round(c * length - side / 2) for c, length, side in zip(position, size, sides, strict=True)]
        yield Patch(
            tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True)),
            tuple((start + side / 2) / length for start, side, length in zip(starts, sides, size, strict=True)),
        )
