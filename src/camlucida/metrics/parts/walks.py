"""A walk from a picture to nothing, or from nothing to the picture: the order of a map, point by point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.metrics.parts.ranking import ranks, is_nonzero
from camlucida.metrics.parts.removal import Predict, area, logit, probability, steps_of
from camlucida.metrics.parts.substrates import Without, without
from camlucida.metrics.registry import Score


@dataclass(frozen=True, eq=False)
class PerturbationCurve:
    """One picture that loses its pixels, or gains them, the most relevant first.

    places   (H, W) the row in which the pixels stand
    counts   how many have gone, or come, at each point
    without  how the picture loses pixels
    gains    whether they come: insertion; else they go: deletion
    """

    places: Tensor
    counts: tuple[int, ...]
    without: Without
    gains: bool

    def __len__(self) -> int:
        return len(self.counts)

    def images(self, which: Tensor) -> Tensor:
        """Numbers of points (n,) in, the pictures (n, c, H, W) there out."""
        steps = torch.tensor(self.counts, device=self.places.device)[which.to(self.places.device)]
        first = self.places < steps[:, None, None]
        return self.without(~first if self.gains else first)


def walk(
    relevance: Tensor,
    inputs: Tensor,
    pixel: Tensor,
    black: Tensor,
    random: torch.Generator,
    *,
    step: int | None = None,
    steps: int = 28,
    infill: str = "gaussian",
    gains: bool,
) -> PerturbationCurve:
    """Arguments as of `insertion` and `deletion`."""
    how = without(inputs, infill, pixel=pixel, black=black, random=random)
    places = ranks(relevance, random).to(inputs.device)
    return PerturbationCurve(places, tuple(steps_of(places.numel(), step, steps)), how, gains)


def curve_scores(
    relevance: Tensor,
    inputs: Tensor,
    target: int,
    pixel: Tensor,
    black: Tensor,
    predict: Predict,
    random: torch.Generator,
    *,
    step: int | None,
    steps: int,
    infill: str,
    gains: bool,
) -> dict[str, Score]:
    """Return what `insertion` (`gains`) and `deletion` measure: arguments as theirs.

    Returns:
        The area under the curve of the class's probability, and that of its score, whose name ends in `_logit`; NaN of
        a map that cannot be judged.
    """
    name = "insertion" if gains else "deletion"
    if not is_nonzero(relevance):
        return {name: Score(float("nan")), f"{name}_logit": Score(float("nan"))}
    path = walk(relevance, inputs, pixel, black, random, step=step, steps=steps, infill=infill, gains=gains)
    outputs = predict(path.images, len(path))
    curve, scores = probability(outputs, target), logit(outputs, target)
    return {name: Score(area(curve), curve), f"{name}_logit": Score(area(scores), scores)}
