"""A walk from a picture to nothing, or from nothing to the picture: the order of a map, point by point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from camlucida.metrics.parts.ranking import ranks
from camlucida.metrics.parts.removal import Predict, area, logit, probability, steps_of
from camlucida.metrics.parts.substrates import Without, without
from camlucida.metrics.registry import Score


@dataclass(frozen=True, eq=False)
class Walk:
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

    def pictures(self, which: Tensor) -> Tensor:
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
    substrate: str = "gaussian",
    gains: bool,
) -> Walk:
    """Arguments as of `insertion` and `deletion`."""
    how = without(inputs, substrate, pixel=pixel, black=black, random=random)
    places = ranks(relevance, random).to(inputs.device)
    return Walk(places, tuple(steps_of(places.numel(), step, steps)), how, gains)


def walked(there: Walk, predict: Predict, target: int, name: str) -> dict[str, Score]:
    """The areas under the curves of a class's probability and of its score; the second under the name with _logit."""
    found = predict(there.pictures, len(there))
    curve, scores = probability(found, target), logit(found, target)
    return {name: Score(area(curve), curve), f"{name}_logit": Score(area(scores), scores)}
