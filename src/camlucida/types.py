"""The words of Camlucida: what crosses the border between its parts. Frozen values, no behaviour.

Axes have one spelling everywhere: b images, k classes, c channels, h x w grid of a layer, n variants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
Images: TypeAlias = Tensor
"""The network's inputs: (b, c, H, W), normalised as the network wants them."""
Variants: TypeAlias = Callable[[Tensor], Tensor]
"""Numbers of variants (n,) in, the variants out: (n, b, ...)."""
ScoreInputs: TypeAlias = Callable[..., Tensor]
"""Variants of the pictures, and how many there are, in; scores (count, b) out. `shared` names runs for all targets."""
ScoreActivations: TypeAlias = Callable[..., Tensor]
"""As `Forward`, for variants of the activations: only the rest of the network runs."""
Gradients: TypeAlias = Callable[[Variants, int], Iterator[tuple[Tensor, Tensor, Tensor]]]
"""Variants, and how many, in; chunk by chunk which (n,), scores (n, b), gradients (n, b, c, H, W) out."""
LayerAt: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Other pictures (b, c, H, W) in; the layer's activations and gradients (b, c, h, w) there out."""
Hvp: TypeAlias = Callable[[Tensor], Tensor]
"""A direction (b, c, h, w) in; the second derivative of the score along it out, same shape."""
CompetingClasses: TypeAlias = Callable[[int], tuple[Tensor, Tensor]]
"""How many in; of so many other classes the gradients (n, b, c, h, w) and scores (n, b) out."""
ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called as `progress(done, total)`: how many of how many steps (network evaluations, images) are done."""
Multipliers: TypeAlias = Callable[[Tensor], Tensor]
"""Baseline pictures (b, c, H, W) in; the score's slopes from there to the pictures, as DeepLIFT has them, out."""
BiasGradients: TypeAlias = Callable[[], tuple[Tensor, list[Tensor]]]
"""The score's gradient (b, c, H, W), and what each bias adds: (b, c, h, w), or (b,) where it has no place, out."""
Relevance: TypeAlias = Callable[..., tuple[Tensor, Tensor]]
"""A rule of layer-wise relevance propagation in; relevance (b, c, h, w), and what it began with in all, (b,), out."""
Report: TypeAlias = Callable[[str, Tensor], None]
"""A name and one number an image (b,): reported beside the map."""
ScoreFunction: TypeAlias = Callable[[Tensor], Tensor]
"""A target: the network's output (b, k) in, one score an image (b,) out."""


@dataclass(frozen=True)
class Attention:
    """What the tokens of a transformer looked at, t of them in every block.

    weights  a block, in order: (b, heads, t, t); row i is where token i looks, and adds up to 1
    read     (t,) each token's share in what the answer is made of after the last block; adds up to 1
    prefix   how many tokens stand before those of the patches: class, distillation, registers
    grid     (h, w) of the patches
    picture  (height, width) of the network's input, in pixels
    """

    weights: tuple[Tensor, ...]
    token_contributions: Tensor
    prefix: int
    grid: tuple[int, int]
    image: tuple[int, int]


AttentionGradients: TypeAlias = Sequence[Tensor]
"""d score / d weights for every block's attention, in order: (b, heads, t, t)."""


@dataclass(frozen=True)
class Display:
    """How a map becomes colours. None of its numbers is changed by it.

    signed      whether what is below zero is shown too, in a palette with zero in the middle
    percentile  which of the map's values gets the full colour, as those above it do: 100 is the largest. Of signed
                maps the absolute values count
    """

    signed: bool = False
    percentile: float = 100.0


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
    def visible_box(self) -> tuple[float, float, float, float]:
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
