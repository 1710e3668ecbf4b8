"""An exact randomisation test of the position of a map, under a group of shifts, mirrors and rotations.

The image is blurred inside, or outside, a window at each position of a regular grid, and the changes of the target's
class score are recorded. They do not depend on the tested map. For each kind of window the changes are standardised
over the grid, and they are added up; this is the importance of each position. The statistic is the mean importance,
weighted by the map. It is compared with the statistics of transformed copies of the map.

The transforms form a group. If the map is independent of the image and as likely as each of its copies, its rank among
the copies is uniform and P(p <= a) <= a holds exactly for every network, image and importance. Arbitrary small shifts
give no such guarantee. The copies cost no forward passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from camlucida.errors import MethodError
from camlucida.evaluation.model_input import ModelInput
from camlucida.maps import gaussian_blur
from camlucida.types import ProgressCallback

Perturbation: TypeAlias = Literal["deletion", "insertion"]
"""Deletion blurs the inside of a window, insertion its outside."""

WINDOW_KINDS: tuple[tuple[Perturbation, float], ...] = (("deletion", 0.2), ("deletion", 0.1), ("insertion", 0.1))
"""Perturbation, and area of a window as a fraction of the image. Objects differ in size: a window of one size is too
large or too small for many of them. Chosen on photographs; see docs/trust.md.
"""
WINDOW_COUNTS = (16, 36)
"""Possible numbers of windows of each kind: square grids."""
WINDOW_EDGE = 1 / 64
"""Width of a window's soft edge (the scale of a sigmoid), as a fraction of each side. A hard edge would add evidence of
its own.
"""
TOP_FRACTION = 0.2
"""Fraction of the image in the highlighted region: where the map is highest. It equals the area of the deletion
windows, whose mean drop is that of other positions.
"""
BLUR_SIGMA = 1 / 8
"""Standard deviation of the blur that replaces windows and region, as a fraction of the shorter side."""
FEATHER_SIGMA = 1 / 32
"""Standard deviation of the region's soft edge, as a fraction of the shorter side."""
MIN_STD = 1e-6
"""Changes of the score (in nats) whose standard deviation over the grid is smaller differ by rounding alone, and
count as equal.
"""
TIE_TOLERANCE = 1e-9
"""Statistics that differ by less count as equal: copies that are equal have equal statistics up to rounding."""


@dataclass(frozen=True, eq=False)
class PositionTest:
    """How important the positions are at which a map is high, compared with transformed copies of the map.

    Attributes:
        statistics: Test statistics `(n_transforms,)`: the mean importance weighted by the map under every transform, in
            standard deviations; the first is that of the map itself.
        importance: Importance of each position of the grid `(n, n)`, from the top left: the sum over the kinds of
            windows of the standardised changes of the target's class score.
        drop: Drop in the target's log-probability when the highlighted region is blurred, in nats.
        window_drops: The same when each window of the area of the highlighted region is blurred, `(n, n)`.
        highlighted: The highlighted region on the network input `(H, W)`, in [0, 1].
        infill: The blurred image `(c, H, W)` that replaces the region.
    """

    statistics: Tensor = field(repr=False)
    importance: Tensor = field(repr=False)
    drop: float
    window_drops: Tensor = field(repr=False)
    highlighted: Tensor = field(repr=False)
    infill: Tensor = field(repr=False)

    @property
    def p(self) -> float:
        """Return the p-value: the fraction of the transforms, the identity included, with at least this statistic."""
        return float((self.statistics >= self.statistics[0] - TIE_TOLERANCE).double().mean())

    @property
    def statistic(self) -> float:
        """Return the mean importance weighted by the map itself, in standard deviations."""
        return float(self.statistics[0])

    @property
    def mean_drop_elsewhere(self) -> float:
        """Return the mean drop in the log-probability for windows of the same area at all positions, in nats."""
        return float(self.window_drops.mean())


def position_test(
    model_input: ModelInput, relevance: Tensor, *, n_windows: int = 36, progress: ProgressCallback | None = None
) -> PositionTest | None:
    """Test whether the target's score depends on the positions that a map highlights.

    Args:
        model_input: The network input and its target.
        relevance: The map on the network input `(H, W)`.
        n_windows: Number of windows of each kind, 36 or 16. Fewer windows are faster and give the test less power.
        progress: Called with the number of network inputs done and the total number, three for each window and one for
            the highlighted region.

    Returns:
        The statistics; None for a map that is constant or not finite, which highlights no position.

    Raises:
        MethodError: If `n_windows` is not 36 or 16.
    """
    side = _grid_side(n_windows)
    values = relevance.detach().cpu().double()
    if not bool(values.isfinite().all()) or float(values.max()) == float(values.min()):
        return None
    height, width = values.shape
    highlighted = feather(top_pixels(values, model_input.random("place")))
    areas = [blurred_areas(height, width, side, kind).float() for kind in WINDOW_KINDS]
    masks = torch.cat([highlighted[None].float(), *areas])
    scores, infill = _blurred_scores(model_input, masks, progress)
    activation, target = model_input.activation, model_input.target
    before = model_input.logits.double().cpu()
    drops = activation.log_probabilities(before)[target] - activation.log_probabilities(scores)[:, target]
    changes = drops if activation.is_probability else before[target] - scores[:, target]
    importance = importance_of(changes[1:].view(len(WINDOW_KINDS), side, side))
    return PositionTest(
        statistics=weighted_importance(cell_weights(values, side), importance, square=height == width),
        importance=importance,
        drop=float(drops[0]),
        window_drops=drops[1 : 1 + n_windows].view(side, side),
        highlighted=highlighted.to(infill.dtype),
        infill=infill,
    )


def blur_drops(model_input: ModelInput, masks: Tensor) -> Tensor:
    """Return the drops in the target's log-probability when regions of the network input are blurred.

    Args:
        model_input: The network input and its target.
        masks: Weight of the blurred image at each pixel, for each region `(n, H, W)`, in [0, 1].

    Returns:
        The drops `(n,)` in nats, on the CPU.
    """
    log_probabilities, target = model_input.activation.log_probabilities, model_input.target
    after = log_probabilities(_blurred_scores(model_input, masks)[0])[:, target]
    return log_probabilities(model_input.logits.double().cpu())[target] - after


def blurred_areas(height: int, width: int, side: int, kind: tuple[Perturbation, float]) -> Tensor:
    """Return what is blurred for each position of the grid: the pixels nearest to it, or all others; with soft edges.

    At the border the radius is larger, so that all windows have one area and are in one piece. Discs that are clipped
    at the border would be smaller and matter less, and every map of the middle would gain by that. Discs that wrap
    around would give the importance of one edge to the opposite edge as well.

    Args:
        height: Height of the network input.
        width: Width of the network input. On an oblong input the windows are parts of ellipses.
        side: Number of windows per axis.
        kind: Perturbation, and area of a window as a fraction of the image.

    Returns:
        Masks `(side * side, H, W)` in [0, 1], float64, from the top left, row by row.
    """
    perturbation, area = kind
    centres = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    y, x = (
        ((torch.arange(n, dtype=torch.float64) + 0.5) / n - centres[:, None]).abs().square() for n in (height, width)
    )
    distance = (y[:, None, :, None] + x[None, :, None, :]).sqrt().flatten(0, 1)
    n_pixels = max(1, round(area * height * width))
    radius = distance.flatten(1).kthvalue(n_pixels, dim=1).values[:, None, None]
    inside = (1 + ((radius - distance) / (2 * WINDOW_EDGE)).tanh()) / 2  # a logistic edge
    return inside if perturbation == "deletion" else 1 - inside


def importance_of(changes: Tensor) -> Tensor:
    """Add the drops of the score for all kinds of windows, standardised over the grid.

    Args:
        changes: Drops of the target's class score `(kinds, n, n)` for the kinds of `WINDOW_KINDS`: the logit; the
            log-probability if the network's output is a probability. For insertion a small drop means that the window
            contains the evidence, so its sign is reversed.

    Returns:
        The sum `(n, n)`, with mean 0. A kind of window that does not change the score adds nothing.
    """
    total = torch.zeros_like(changes[0])
    for (perturbation, _), drops in zip(WINDOW_KINDS, changes, strict=True):
        centred, std = drops - drops.mean(), drops.std(correction=0)
        if float(std) > MIN_STD:
            total += centred / std if perturbation == "deletion" else -centred / std
    return total


def cell_weights(map_: Tensor, side: int) -> Tensor:
    """Return the fraction of a map in each cell of the grid, `(side, side)`.

    Args:
        map_: The map `(H, W)`. Its minimum is subtracted, which changes no rank among the transforms: the weights of a
            map with negative values are not negative either.
        side: Number of cells per axis. Pixels on the edge of two cells are divided between them.
    """
    rows, columns = (_cell_overlaps(n, side) for n in map_.shape)
    weights = rows @ (map_ - map_.min()) @ columns.T
    return weights / weights.sum()


def weighted_importance(weights: Tensor, importance: Tensor, *, square: bool) -> Tensor:
    """Return the mean importance, weighted by every transform of the weights: `(n_transforms,)`.

    Args:
        weights: Weights of the cells `(n, n)`.
        importance: Importance `(n, n)`.
        square: Whether the network input is square, so that quarter turns are possible.
    """
    return weights.flatten()[_permutations(len(weights), square)] @ importance.flatten()


def transform_group(grid: Tensor, *, square: bool = True) -> list[Tensor]:
    """Return all transforms of a grid of weights, the identity first: its shifts with wrap-around, mirrors and turns.

    Args:
        grid: The weights `(n, n)`.
        square: Whether quarter turns are transforms: 8 n² transforms in place of 4 n².

    Returns:
        The transformed grids.
    """
    return [
        turned.roll((down, across), (0, 1))
        for rotation in ((0, 1, 2, 3) if square else (0, 2))
        for turned in (torch.rot90(grid, rotation, (0, 1)), torch.rot90(grid, rotation, (0, 1)).flip(1))
        for down in range(len(grid))
        for across in range(len(grid))
    ]


@cache
def _permutations(side: int, square: bool) -> Tensor:
    """Return the transforms of a grid as indices into its cells, `(n_transforms, side * side)`."""
    cells = torch.arange(side * side).view(side, side)
    return torch.stack(transform_group(cells, square=square)).flatten(1)


def top_pixels(map_: Tensor, generator: torch.Generator, fraction: float = TOP_FRACTION) -> Tensor:
    """Return a mask of the highest values of a map, by rank; ties are broken at random.

    Args:
        map_: The map `(H, W)`.
        generator: Random generator for ties.
        fraction: Fraction of the pixels to select.

    Returns:
        A mask `(H, W)` of 0 and 1.
    """
    tie_breaker = torch.rand(map_.numel(), generator=generator, dtype=torch.float64)
    order = np.lexsort((tie_breaker.numpy(), map_.flatten().numpy()))
    chosen = torch.zeros(map_.numel(), dtype=torch.float64)
    chosen[torch.from_numpy(order[len(order) - round(fraction * len(order)) :].copy())] = 1
    return chosen.view_as(map_)


def feather(mask: Tensor) -> Tensor:
    """Return the mask `(H, W)` with soft edges; a hard edge would add evidence of its own."""
    return blur_images(mask[None, None], FEATHER_SIGMA * min(mask.shape), "circular")[0, 0]


def blur_images(images: Tensor, sigma: float, border: str) -> Tensor:
    """Blur images with a Gaussian kernel, clipped at three standard deviations.

    Args:
        images: Images `(b, c, H, W)`.
        sigma: Standard deviation in pixels.
        border: Padding mode of `torch.nn.functional.pad`.

    Returns:
        The blurred images.
    """
    radius = max(1, min(round(3 * sigma), min(images.shape[-2:]) - 1))
    return gaussian_blur(images, sigma, radius, border)


def _blurred_scores(
    model_input: ModelInput, masks: Tensor, progress: ProgressCallback | None = None
) -> tuple[Tensor, Tensor]:
    """Return the class scores `(n, k)` with each region blurred, and the blurred image `(c, H, W)`; on the CPU."""
    inputs = model_input.inputs
    infill = blur_images(inputs, BLUR_SIGMA * min(inputs.shape[-2:]), "reflect")
    weights = masks.to(inputs)[:, None]

    def blurred(indices: Tensor) -> Tensor:
        weight = weights[indices.to(weights.device)]
        return inputs * (1 - weight) + infill * weight

    after = model_input.predict(blurred, len(masks), progress=progress)
    return after.double().cpu(), infill[0].cpu()


def _cell_overlaps(n: int, side: int) -> Tensor:
    """Return the length of the overlap of each cell with each pixel of an axis, `(side, n)`, in pixels."""
    start, pixels = (torch.arange(length, dtype=torch.float64) for length in (side, n))
    low, high = start[:, None] * n / side, (start[:, None] + 1) * n / side
    return (high.minimum(pixels + 1) - low.maximum(pixels)).clamp_min(0)


def _grid_side(n_windows: int) -> int:
    """Return the number of windows per axis."""
    if n_windows not in WINDOW_COUNTS:
        raise MethodError(f"n_windows must be 36 or 16, not {n_windows!r}.")
    return math.isqrt(n_windows)
