"""A picture changed a little, and whether its map follows: noise, turns, shifts, blur, light."""

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
    """What is done to a picture as the network sees it, in this order: turned and shifted, blurred, lit, made noisy.

    angle   degrees, anticlockwise
    across  to the right, in shares of the width
    down    in shares of the height
    blur    standard deviation of a Gaussian, in shares of the shorter side
    light   added to every pixel, in shares of the way from black to white
    noise   standard deviation, in the same shares
    """

    angle: float = 0.0
    across: float = 0.0
    down: float = 0.0
    blur: float = 0.0
    light: float = 0.0
    noise: float = 0.0

    @property
    def is_geometric(self) -> bool:
        """Whether things lie elsewhere afterwards."""
        return any(value != 0 for value in (self.angle, self.across, self.down))


@dataclass(frozen=True, eq=False)
class PerturbedMap:
    """What became of a picture's map.

    inputs       (1, c, H, W) the changed picture, as the network wants it
    logits       (k,) what the model says about it
    raw          (h, w) its map on its own grid, signed
    map          (H, W) the same as it is shown, on the network's input, where things lie now
    back         (H, W) the same where they lay before; NaN for what has left the picture, or was never in it
    correlation  of ranks with the first map, over the places that both know; NaN where one is the same everywhere
    shared       how much of the picture that is, 0 to 1
    """

    inputs: Tensor = field(repr=False)
    logits: Tensor = field(repr=False)
    raw: Tensor = field(repr=False)
    map: Tensor = field(repr=False)
    unperturbed_map: Tensor = field(repr=False)
    correlation: float
    valid_fraction: float


def explain_perturbed(metric_inputs: MetricInputs, perturbation: Perturbation) -> PerturbedMap:
    """Change the picture, ask for the map of the same class again, and lay it back on the first."""
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
    """Pictures (b, c, H, W) with a change; what comes in from outside is the picture mirrored at its edge.

    pixel, black  (c, 1, 1) as of `Sight`; nothing becomes darker than black or brighter than white
    noise         (b, c, H, W) of standard deviation 1
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
    """A map (H, W) of a changed picture, laid back on the first one; NaN where the changed one does not show it."""
    if not perturbation.is_geometric:
        return map_
    grid = _sampling_grid(perturbation, map_.shape, inverse=True)
    resampled = F.grid_sample(
        map_[None, None].double(), grid.double(), mode="bilinear", padding_mode="border", align_corners=False
    )
    inside = (grid.abs() <= 1).all(-1)[0]
    return resampled[0, 0].to(map_.dtype).where(inside, torch.nan)


def _sampling_grid(perturbation: Perturbation, size: tuple[int, ...] | torch.Size, *, inverse: bool) -> Tensor:
    """Where to look (1, H, W, 2) for what shall lie at each pixel, as of `F.grid_sample`.

    Forth, things are turned about the middle and then shifted; so a pixel is looked up by shifting it back and then
    turning it back. Back is the other way round.
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
    """Points turned anticlockwise about the middle, as seen: y runs down."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x + sin * y, -sin * x + cos * y
