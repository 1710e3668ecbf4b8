"""Perturbations of an image, and whether its map follows: noise, rotation, shift, blur, brightness."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.reliability.position_test import blur_images
from camlucida.reliability.similarity import rank_correlation


@dataclass(frozen=True)
class Perturbation:
    """A perturbation of the network input, applied in this order: rotation and shift, blur, brightness, noise.

    Attributes:
        angle: Rotation in degrees, counter-clockwise.
        across: Shift to the right, as a fraction of the width.
        down: Shift downwards, as a fraction of the height.
        blur: Standard deviation of a Gaussian blur, as a fraction of the shorter side.
        light: Value added to every pixel, as a fraction of the range from black to white.
        noise: Standard deviation of Gaussian noise, as a fraction of the same range.
    """

    angle: float = 0.0
    across: float = 0.0
    down: float = 0.0
    blur: float = 0.0
    light: float = 0.0
    noise: float = 0.0

    @property
    def is_geometric(self) -> bool:
        """Return whether the perturbation moves pixels."""
        return any(value != 0 for value in (self.angle, self.across, self.down))


@dataclass(frozen=True, eq=False)
class PerturbedMap:
    """The map of a perturbed image, and its similarity to the map of the original image.

    Attributes:
        inputs: The perturbed network input `(1, c, H, W)`.
        logits: Class scores `(k,)` of the perturbed input.
        raw: Its signed map on the map's own grid `(h, w)`.
        map: Its map as displayed, on the network input `(H, W)`.
        unperturbed_map: The same with rotation and shift reversed `(H, W)`; NaN for positions that the perturbed input
            does not contain.
        correlation: Rank correlation with the original map over the positions that both contain; NaN if either is
            constant.
        valid_fraction: Fraction of the input that both contain, in [0, 1].
    """

    inputs: Tensor = field(repr=False)
    logits: Tensor = field(repr=False)
    raw: Tensor = field(repr=False)
    map: Tensor = field(repr=False)
    unperturbed_map: Tensor = field(repr=False)
    correlation: float
    valid_fraction: float


def explain_perturbed(metric_inputs: MetricInputs, perturbation: Perturbation) -> PerturbedMap:
    """Perturb the image, explain the same class again, and compare the map with the original one.

    Args:
        metric_inputs: The original map and its image.
        perturbation: The perturbation.

    Returns:
        The map of the perturbed image, and its similarity.
    """
    model_input = metric_inputs.model_input
    noise = torch.randn(model_input.inputs.shape, generator=model_input.random("vary"), dtype=torch.float32)
    inputs = perturb(
        model_input.inputs, perturbation, model_input.pixel_scale, model_input.black_level, noise.to(model_input.inputs)
    )
    logits = model_input.predict(lambda which: inputs.expand(len(which), -1, -1, -1), 1)[0]
    raw = metric_inputs.explainer.maps(model_input, inputs, torch.tensor([model_input.target]))[0]
    map_ = dataclasses.replace(metric_inputs, raw=raw).relevance.cpu().float()
    restored = undo_perturbation(map_, perturbation)
    valid = restored.isfinite()
    correlation = (
        rank_correlation(metric_inputs.relevance.cpu()[valid], restored[valid]) if bool(valid.any()) else math.nan
    )
    return PerturbedMap(inputs, logits, raw, map_, restored, correlation, float(valid.double().mean()))


def perturb(
    inputs: Tensor, perturbation: Perturbation, pixel_scale: Tensor, black_level: Tensor, noise: Tensor
) -> Tensor:
    """Apply a perturbation to network inputs; pixels from outside the image are mirrored at its border.

    Args:
        inputs: Network inputs `(b, c, H, W)`.
        perturbation: The perturbation.
        pixel_scale: White minus black in units of the network input `(c, 1, 1)`, as in `ModelInput`.
        black_level: Black in units of the network input `(c, 1, 1)`. Brightness and noise are clipped at black and
            white.
        noise: Noise `(b, c, H, W)` of standard deviation 1.

    Returns:
        The perturbed inputs `(b, c, H, W)`.
    """
    perturbed = inputs
    if perturbation.is_geometric:
        grid = _sampling_grid(perturbation, inputs.shape[-2:], inverse=False).to(perturbed)
        perturbed = F.grid_sample(
            perturbed,
            grid.expand(len(perturbed), -1, -1, -1),
            mode="bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
    if perturbation.blur > 0:
        perturbed = blur_images(perturbed, max(perturbation.blur * min(perturbed.shape[-2:]), 0.1), "reflect")
    if perturbation.light != 0 or perturbation.noise > 0:
        perturbed = perturbed + pixel_scale * (perturbation.light + perturbation.noise * noise)
        perturbed = perturbed.maximum(black_level).minimum(black_level + pixel_scale)
    return perturbed


def undo_perturbation(map_: Tensor, perturbation: Perturbation) -> Tensor:
    """Return the map of a perturbed input, resampled to the original; NaN for positions that it does not contain."""
    if not perturbation.is_geometric:
        return map_
    grid = _sampling_grid(perturbation, map_.shape, inverse=True)
    resampled = F.grid_sample(
        map_[None, None].double(), grid.double(), mode="bilinear", padding_mode="border", align_corners=False
    )
    inside = (grid.abs() <= 1).all(-1)[0]
    return resampled[0, 0].to(map_.dtype).where(inside, torch.nan)


def _sampling_grid(perturbation: Perturbation, size: tuple[int, ...] | torch.Size, *, inverse: bool) -> Tensor:
    """Return the sampling grid `(1, H, W, 2)` for `F.grid_sample`.

    The forward perturbation rotates about the middle, then shifts. Each output pixel is therefore sampled at the
    position obtained by reversing the shift, then the rotation. The inverse perturbation does the opposite.
    """
    height, width = size[-2:]
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - width / 2).expand(height, width)
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - height / 2)[:, None].expand(height, width)
    angle = math.radians(perturbation.angle)
    right, below = perturbation.across * width, perturbation.down * height
    if inverse:
        x, y = _rotated(x, y, angle)
        x, y = x + right, y + below
    else:
        x, y = _rotated(x - right, y - below, -angle)
    return torch.stack([2 * x / width, 2 * y / height], -1)[None].float()


def _rotated(x: Tensor, y: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Return points rotated counter-clockwise about the middle, as displayed, with y pointing down."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, -sin * x + cos * y
