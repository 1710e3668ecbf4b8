"""Class sensitivity and stability: rank correlations with maps of other classes and of perturbed copies."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.maps import spearman

NOISE_STD = 0.02
"""Standard deviation of the noise, as a fraction of the range from black to white: hardly visible."""
SHIFT_FRACTION = 1 / 24
"""Size of the shift, as a fraction of each side."""
N_COPIES = 4
"""Number of noisy copies, and of shifted copies."""
N_RANDOM_CLASSES = 3
"""Number of random classes."""
SHIFT_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))


@dataclass(frozen=True, eq=False)
class ClassSimilarity:
    """The similarity of the map and another one.

    Attributes:
        name: The class of the other map, or the kind of perturbation.
        correlation: Spearman rank correlation in [-1, 1]; NaN if the other map is constant.
        map: The other map on the network input `(H, W)`, with shifts reversed.
    """

    name: str
    correlation: float
    map: Tensor = field(repr=False)


def class_similarities(
    metric_inputs: MetricInputs, classes: list[int], names: list[str]
) -> tuple[ClassSimilarity, ...]:
    """Compare the map with those of other classes of the same image.

    Args:
        metric_inputs: The map and its image.
        classes: Indices of the classes.
        names: Names of the classes.

    Returns:
        One similarity per class.
    """
    if not classes:
        return ()
    maps = metric_inputs.explain_class(classes).cpu()
    return tuple(
        ClassSimilarity(name, rank_correlation(metric_inputs.relevance, m), m)
        for name, m in zip(names, maps, strict=True)
    )


def other_classes(metric_inputs: MetricInputs) -> list[int]:
    """Return the most probable class other than the target, then random ones."""
    model_input = metric_inputs.model_input
    others = [k for k in model_input.logits.argsort(descending=True, stable=True).tolist() if k != model_input.target]
    order = torch.randperm(len(others) - 1, generator=model_input.random("classes")).tolist()
    return [others[0], *(others[1 + i] for i in order[:N_RANDOM_CLASSES])]


def noise_similarities(metric_inputs: MetricInputs) -> tuple[ClassSimilarity, ...]:
    """Compare the map with those of copies of the image with a little noise."""
    inputs = metric_inputs.model_input.inputs
    noise = torch.randn(
        (N_COPIES, *inputs.shape[1:]), generator=metric_inputs.model_input.random("noise"), dtype=torch.float32
    )
    maps = metric_inputs.explain(inputs + NOISE_STD * metric_inputs.model_input.pixel_scale * noise.to(inputs)).cpu()
    return tuple(ClassSimilarity("noise", rank_correlation(metric_inputs.relevance, m), m) for m in maps)


def shift_similarities(metric_inputs: MetricInputs) -> tuple[ClassSimilarity, ...]:
    """Compare the map with those of slightly shifted copies of the image.

    The border pixels are replicated, the maps are shifted back, and only the part that all copies contain is compared.
    """
    inputs = metric_inputs.model_input.inputs
    height, width = inputs.shape[-2:]
    y, x = max(1, round(SHIFT_FRACTION * height)), max(1, round(SHIFT_FRACTION * width))
    padded = F.pad(inputs, (x, x, y, y), mode="replicate")
    starts = [(y - y * down, x - x * across) for across, down in SHIFT_DIRECTIONS]
    shifted = torch.cat([padded[..., a : a + height, b : b + width] for a, b in starts])
    maps = metric_inputs.explain(shifted).cpu()
    unshifted = torch.stack([m.roll((a - y, b - x), (0, 1)) for m, (a, b) in zip(maps, starts, strict=True)])
    inner = (slice(y, height - y), slice(x, width - x))
    unshifted = F.pad(unshifted[:, *inner], (x, x, y, y))  # values that wrapped around are invalid
    return tuple(
        ClassSimilarity("shift", rank_correlation(metric_inputs.relevance[inner], m[inner]), m) for m in unshifted
    )


def rank_correlation(first_map: Tensor, second_map: Tensor) -> float:
    """Return Spearman's rank correlation of two maps; NaN if either is constant or not finite."""
    first, second = (map_.detach().cpu().flatten()[None] for map_ in (first_map, second_map))
    if not bool(first.isfinite().all() and second.isfinite().all()):
        return float("nan")
    return float(spearman(first, second))
