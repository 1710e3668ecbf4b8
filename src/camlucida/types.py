"""The types that cross the interfaces of the packages: aliases and frozen values without behaviour.

Axes have one spelling in all modules: b images, k classes, c channels, h x w grid of a layer, H x W network input, n
variants, t tokens. Where (b, c, h, w) is written, a volume is (b, c, d, h, w), and so are the frames of a video, in
their order: methods are written for (b, c, *grid).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

Features: TypeAlias = Tensor
"""Activations of a layer, or their gradient: (b, c, h, w), whatever the layer's own layout."""
Map: TypeAlias = Tensor
"""One raw saliency map per image: (b, h, w), signed, not normalised, on the layer's grid."""
Scores: TypeAlias = Tensor
"""One number per image: (b,), in the units of the target (a logit by default)."""
Weights: TypeAlias = Tensor
"""One weight per channel: (b, c)."""
Ablate: TypeAlias = Callable[[float], Tensor]
"""`ablate(infill) -> (c, b)`: the score with channel c set to `infill`."""
Images: TypeAlias = Tensor
"""Network inputs: (b, c, H, W), normalised as the network requires."""
Variants: TypeAlias = Callable[[Tensor], Tensor]
"""Maps variant indices (n,) to the variants (n, b, ...)."""
ScoreInputs: TypeAlias = Callable[..., Tensor]
"""Maps input variants, and their number, to scores (n, b). `shared` is a key for runs that all targets share."""
ScoreActivations: TypeAlias = Callable[..., Tensor]
"""Like `ScoreInputs`, for variants of the activations: only the suffix of the network runs."""
Gradients: TypeAlias = Callable[[Variants, int], Iterator[tuple[Tensor, Tensor, Tensor]]]
"""Maps variants, and their number, to chunks of indices (n,), scores (n, b) and gradients (n, b, c, H, W)."""
LayerAt: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps other network inputs (b, c, H, W) to the layer's activations and gradients, both (b, c, h, w)."""
Hvp: TypeAlias = Callable[[Tensor], Tensor]
"""Maps a direction (b, c, h, w) to the Hessian-vector product of the score with it, same shape."""
CompetingClasses: TypeAlias = Callable[[int], tuple[Tensor, Tensor]]
"""Maps a number n of other classes to their gradients (n, b, c, h, w) and scores (n, b)."""
ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called as `progress(done, total)`: how many of how many steps (network evaluations, images) are done."""
Multipliers: TypeAlias = Callable[[Tensor], Tensor]
"""Maps baseline inputs (b, c, H, W) to the DeepLIFT multipliers between them and the inputs, same shape."""
BiasGradients: TypeAlias = Callable[[], tuple[Tensor, list[Tensor]]]
"""Returns the input gradient (b, c, H, W) and each bias's contribution: (b, c, h, w), or (b,) without a position."""
Relevance: TypeAlias = Callable[..., tuple[Tensor, Tensor]]
"""Maps a rule of layer-wise relevance propagation to relevance (b, c, h, w) and its total at the output (b,)."""
Report: TypeAlias = Callable[[str, Tensor], None]
"""Called with a name and one number per image (b,), which are reported beside the map."""
ScoreFunction: TypeAlias = Callable[[Tensor], Tensor]
"""A target: maps the network's output (b, k) to one score per image (b,)."""


@dataclass(frozen=True, eq=False)
class SampledPoints:
    """One attention of q queries to n sampled points each, of several grids of tokens (deformable attention).

    Attributes:
        weights: Weights `(b, heads, q, n)`; those of the points of the first grid come first.
        points: Per grid, the positions `(b, heads, q, n_grid, 2)` of its points as (x, y), where -1 and 1 are the
            borders of the grid, as in `grid_sample` of PyTorch; tokens are read bilinearly, and are 0 outside.
    """

    weights: Tensor
    points: tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class SampledAttention:
    """The attention of a transformer that samples points of its tokens, which lie on several grids.

    Attributes:
        encoder: Per block of the encoder, in order, the attention of all tokens to sampled points; empty where other
            layers compute the tokens (RT-DETR).
        decoder: Per block of the decoder, in order, the weights of its queries for each other `(b, heads, q, q)`, and
            their attention to sampled points.
        grids: (h, w) of each grid; its tokens follow those of the grid before, row by row.
    """

    encoder: tuple[SampledPoints, ...]
    decoder: tuple[tuple[Tensor, SampledPoints], ...]
    grids: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Attention:
    """The attention between the t tokens of a transformer.

    Attributes:
        weights: Per block, in order, weights `(b, heads, t, t)`; row i holds the weights of the tokens that token i
            attends to, and sums to 1.
        token_contributions: Weights `(t,)` of the tokens in the output of the last block, or `(q,)` of the queries of
            the attention pooling or of the decoder; they sum to 1.
        prefix: Number of tokens before those of the patches: class, distillation, registers.
        grid: (h, w) of the patches; (d, h, w) in a volume.
        image: (height, width) of the network input, in pixels, or (depth, height, width).
        pooling: Weights `(b, heads, q, t)` of an attention after the last block, with which q learned queries read the
            tokens (SigLIP); None without one.
        decoder: Per block of a decoder, in order, the weights of its q queries for each other `(b, heads, q, q)`, and
            then for the tokens `(b, heads, q, t)` (DETR); empty without a decoder.
        sampled: The attention to sampled points of the tokens, in place of `weights` and `decoder`, which are then
            empty (deformable DETR, RT-DETR); None without it.
    """

    weights: tuple[Tensor, ...]
    token_contributions: Tensor
    prefix: int
    grid: tuple[int, ...]
    image: tuple[int, ...]
    pooling: Tensor | None = None
    decoder: tuple[tuple[Tensor, Tensor], ...] = ()
    sampled: SampledAttention | None = None


AttentionGradients: TypeAlias = Sequence[Tensor]
"""Gradients d score / d weights of every block's attention, in order: (b, heads, t, t). Those of an attention pooling
come last: (b, heads, q, t); or those of a decoder, (b, heads, q, q) and (b, heads, q, t) for each of its blocks. Those
of attention to sampled points have its shape, (b, heads, q, n)."""


@dataclass(frozen=True, eq=False)
class PredictedClasses:
    """The class that a segmentation network predicts at every pixel.

    Attributes:
        indices: Index of the class `(height, width)`; -1 where none is predicted, or outside of the image. Where
            several are predicted, that of the smallest region.
        names: Names of the classes that occur, by index, largest region first.
        background: Index of the class that is the background; None without one.
    """

    indices: Tensor
    names: Mapping[int, str]
    background: int | None = None


@dataclass(frozen=True, eq=False)
class Region:
    """A part of an image that a target is about: a box, a mask, a point or nothing but a name.

    Attributes:
        box: (left, top, right, bottom) in pixels; None without a box.
        mask: Mask `(height, width)`, bool; None without a mask.
        point: (x, y) in pixels; None without a point.
        name: What the region is, as text: "box 3", "bus", "missed dog".
        probability: Probability with which the network detected it; None where it has none.
        classes: The predicted classes of all pixels, for a region of a segmentation network; None for others.
        index: Class that the network finds there, as an index of its outputs; None where it has none.
        threshold: Smallest probability with which the network detects a class; None for networks that detect nothing.
        is_missed: Whether the network did not find its class there, neither as a detection nor as a predicted pixel.
    """

    box: tuple[float, float, float, float] | None = None
    mask: Tensor | None = None
    point: tuple[float, float] | None = None
    name: str = ""
    probability: float | None = None
    classes: PredictedClasses | None = None
    index: int | None = None
    threshold: float | None = None
    is_missed: bool = False


@dataclass(frozen=True, eq=False)
class RegionTarget:
    """A region of the image that the user draws, as a target of a segmentation network.

    Attributes:
        mask: The region: a mask `(height, width)` as an array or tensor, or an image file; what is not zero is inside.
            It has the size of the original image.
        target: The class whose score in the region is explained, by name or index; None for the class that is predicted
            for most of its pixels.
        name: What the region is, as text: "mask.png".
        spec: What means this target as text, if there is such a text: "region:mask.png".
    """

    mask: Any
    target: int | str | None = None
    name: str = ""
    spec: str = ""


@dataclass(frozen=True)
class Display:
    """How a map is converted to colours; its values remain unmodified.

    Attributes:
        signed: Whether negative values are displayed too, in a diverging palette.
        percentile: Percentile of the map's values that gets the full colour, as do all values above it; 100 is the
            maximum. For signed maps it is taken over absolute values.
    """

    signed: bool = False
    percentile: float = 100.0


@dataclass(frozen=True)
class Geometry:
    """The position of the network input on the original image.

    A point of the image at (x, y) is at (x * scale_x + offset_x, y * scale_y + offset_y) in the network input.
    Coordinates are continuous: pixel i covers [i, i + 1), and its centre is i + 0.5.

    Attributes:
        original: (width, height) of the image, in pixels.
        input: (width, height) of the network input, in pixels.
        scale: (x, y) pixels of the network input per pixel of the image.
        offset: (x, y) in pixels of the network input: negative for a crop, positive for a letterbox.
    """

    original: tuple[int, int]
    input: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]

    @property
    def visible_box(self) -> tuple[float, float, float, float]:
        """The region of the image that the network input covers: (left, top, right, bottom) in the image's pixels."""
        (width, height), (sx, sy), (ox, oy) = self.original, self.scale, self.offset
        left, top = max(0.0, -ox / sx), max(0.0, -oy / sy)
        right = min(float(width), (self.input[0] - ox) / sx)
        bottom = min(float(height), (self.input[1] - oy) / sy)
        return left, top, right, bottom


@dataclass(frozen=True)
class VolumeGeometry:
    """The position of the network input on the original volume. Axes are (depth, height, width) of the network input.

    A point of the volume at p is at p * scale + offset in the network input, axis by axis. Coordinates are continuous:
    voxel i covers [i, i + 1), and its centre is i + 0.5.

    Attributes:
        original: Size of the volume, in voxels.
        input: Size of the network input, in voxels.
        scale: Voxels of the network input per voxel of the volume.
        offset: In voxels of the network input: negative for a crop, positive for padding.
    """

    original: tuple[int, int, int]
    input: tuple[int, int, int]
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]


@dataclass(frozen=True)
class Prediction:
    """A predicted class with its score.

    Attributes:
        index: Index of the class.
        name: Name of the class.
        probability: Probability of the class; None where the task has none (regression).
        logit: Class score: the value before the softmax or sigmoid, where it can be reached.
    """

    index: int
    name: str
    probability: float | None
    logit: float
