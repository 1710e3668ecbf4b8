"""Perturbation curves: insertion and deletion of pixels in the order of a map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.metrics.common.infill import RemovePixels, pixel_remover
from camlucida.metrics.common.perturbation import Predict, area_under_curve, logit, pixel_counts, probability
from camlucida.metrics.common.ranking import is_nonzero, ranks
from camlucida.metrics.registry import Score
from camlucida.tasks import OutputActivation


@dataclass(frozen=True, eq=False)
class PerturbationCurve:
    """A sequence of inputs that lose or gain pixels, most relevant first.

    Attributes:
        order: `(H, W)` the rank of each pixel, 0 for the most relevant.
        counts: Number of removed or inserted pixels at each point.
        remove: Removes pixels from the input.
        inserting: Whether pixels are inserted (insertion) rather than removed (deletion).
    """

    order: Tensor
    counts: tuple[int, ...]
    remove: RemovePixels
    inserting: bool

    def __len__(self) -> int:
        return len(self.counts)

    def images(self, indices: Tensor) -> Tensor:
        """Return the inputs `(n, c, H, W)` at the points with the given indices `(n,)`."""
        steps = torch.tensor(self.counts, device=self.order.device)[indices.to(self.order.device)]
        changed = self.order < steps.view(-1, *[1] * self.order.ndim)
        return self.remove(~changed if self.inserting else changed)


def perturbation_curve(
    relevance: Tensor,
    inputs: Tensor,
    pixel_scale: Tensor,
    black_level: Tensor,
    random: torch.Generator,
    *,
    step: int | None = None,
    steps: int = 28,
    infill: str = "gaussian",
    inserting: bool,
) -> PerturbationCurve:
    """Build the curve of an input for a map; the arguments are those of `insertion` and `deletion`."""
    remove = pixel_remover(inputs, infill, pixel_scale=pixel_scale, black_level=black_level, random=random)
    order = ranks(relevance, random).to(inputs.device)
    return PerturbationCurve(order, tuple(pixel_counts(order.numel(), step, steps)), remove, inserting)


def curve_scores(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel_scale: Tensor,
    black_level: Tensor,
    predict: Predict,
    random: torch.Generator,
    activation: OutputActivation,
    *,
    step: int | None,
    steps: int,
    infill: str,
    inserting: bool,
) -> dict[str, Score]:
    """Compute the outputs of `insertion` (`inserting=True`) and `deletion`, whose arguments it shares.

    Returns:
        The area under the curve of the target's probability, and the area under the curve of its score, whose name ends
        in `_logit`; NaN for a map that cannot be scored.
    """
    name = "insertion" if inserting else "deletion"
    if not is_nonzero(relevance):
        return {name: Score(float("nan")), f"{name}_logit": Score(float("nan"))}
    perturbation = perturbation_curve(
        relevance, inputs, pixel_scale, black_level, random, step=step, steps=steps, infill=infill, inserting=inserting
    )
    outputs = predict(perturbation.images, len(perturbation))
    curve, scores = probability(outputs, target, activation), logit(outputs, target)
    return {name: Score(area_under_curve(curve), curve), f"{name}_logit": Score(area_under_curve(scores), scores)}
