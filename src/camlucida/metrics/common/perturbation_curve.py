"""A walk from a picture to nothing, or from nothing to the picture: the order of a map, point by point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.metrics.common.infill import RemovePixels, pixel_remover
from camlucida.metrics.common.perturbation import Predict, area_under_curve, logit, pixel_counts, probability
from camlucida.metrics.common.ranking import is_nonzero, ranks
from camlucida.metrics.registry import Score


@dataclass(frozen=True, eq=False)
class PerturbationCurve:
    """One picture that loses its pixels, or gains them, the most relevant first.

    places   (H, W) the row in which the pixels stand
    counts   how many have gone, or come, at each point
    without  how the picture loses pixels
    gains    whether they come: insertion; else they go: deletion
    """

    order: Tensor
    counts: tuple[int, ...]
    remove: RemovePixels
    inserting: bool

    def __len__(self) -> int:
        return len(self.counts)

    def images(self, indices: Tensor) -> Tensor:
        """Numbers of points (n,) in, the pictures (n, c, H, W) there out."""
        steps = torch.tensor(self.counts, device=self.order.device)[indices.to(self.order.device)]
        changed = self.order < steps[:, None, None]
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
    """Arguments as of `insertion` and `deletion`."""
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
    *,
    step: int | None,
    steps: int,
    infill: str,
    inserting: bool,
) -> dict[str, Score]:
    """Return what `insertion` (`gains`) and `deletion` measure: arguments as theirs.

    Returns:
        The area under the curve of the class's probability, and that of its score, whose name ends in `_logit`; NaN of
        a map that cannot be judged.
    """
    name = "insertion" if inserting else "deletion"
    if not is_nonzero(relevance):
        return {name: Score(float("nan")), f"{name}_logit": Score(float("nan"))}
    perturbation = perturbation_curve(
        relevance, inputs, pixel_scale, black_level, random, step=step, steps=steps, infill=infill, inserting=inserting
    )
    outputs = predict(perturbation.images, len(perturbation))
    curve, scores = probability(outputs, target), logit(outputs, target)
    return {name: Score(area_under_curve(curve), curve), f"{name}_logit": Score(area_under_curve(scores), scores)}
