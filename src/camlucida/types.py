"""The words of Camlucida: what crosses the border between its parts. Frozen values, no behaviour.

Axes have one spelling everywhere: b images, k classes, c channels, h x w grid of a layer, n variants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

Features: TypeAlias = Tensor
"""What a layer gave out, or its gradient: (b, c, h, w), whatever the layer's own layout."""
Map: TypeAlias = Tensor
"""One raw saliency map an image: (b, h, w), signed, not normalised, on the layer's grid."""
Scores: TypeAlias = Tensor
"""One number an image: (b,), in the units of the target (a logit, unless asked otherwise)."""
Weights: TypeAlias = Tensor
"""One weight a channel: (b, c)."""
Ablate: TypeAlias = Callable[[float], Tensor]
"""What stands in for a channel in, the score with each channel in turn set to it out: (c, b)."""
ScoreFunction: TypeAlias = Callable[[Tensor], Tensor]
"""A target: the network's output (b, k) in, one score an image (b,) out."""


@dataclass(frozen=True)
class Geometry:
    """Where the network's input lies on the original picture.

    A point of the picture at (x, y) is seen by the network at (x * scale_x + offset_x, y * scale_y + offset_y).
    Coordinates are continuous: pixel i covers [i, i + 1), its centre is i + 0.5.

    original   (width, height) of the picture, in its own pixels
    input      (width, height) of the network's input
    scale      (x, y) input pixels for one pixel of the picture
    offset     (x, y) in input pixels: negative for a crop, positive for a letterbox
    """

    original: tuple[int, int]
    input: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    @property
    def seen(self) -> tuple[float, float, float, float]:
        """The part of the picture that the network saw: (left, top, right, bottom) in the picture's pixels."""
        (width, height), (sx, sy), (ox, oy) = self.original, self.scale, self.offset
        left, top = max(0.0, -ox / sx), max(0.0, -oy / sy)
        right = min(float(width), (self.input[0] - ox) / sx)
        bottom = min(float(height), (self.input[1] - oy) / sy)
        return left, top, right, bottom


@dataclass(frozen=True)
class Prediction:
    """One line of the top-5: the class, what it is called, and how sure the network is."""

    index: int
    name: str
    probability: float
    logit: float
