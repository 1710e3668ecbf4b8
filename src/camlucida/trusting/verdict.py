"""From numbers to words: one table of rules, read from the top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from camlucida.trusting.agreement import Likeness
from camlucida.trusting.certainty import Certainty, Edge
from camlucida.trusting.place import Place

Belief: TypeAlias = Literal["believe it", "with care", "do not believe it", "cannot tell"]

LEVEL = 0.05
"""Up to this p the place matters; by chance so of 5 % of maps that know nothing."""
HOPELESS = 0.2
"""From this p on nothing speaks for the place; between the two the test may have been too weak. Of Grad-CAM's maps of
toybox scenes that are plainly right none comes above it."""
EFFECT = 0.1
"""Nats: a fall of 10 % of the probability. A network with random weights, on its own class: 0.003."""
STEADY = 0.5
"""Rank correlation with the maps of near copies of the picture, in the middle of them."""


@dataclass(frozen=True)
class Verdict:
    """What to make of a map: a word, and why."""

    belief: Belief
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.belief}: {'; '.join(self.reasons)}" if self.reasons else self.belief


@dataclass(frozen=True)
class Region:
    """How the map lies to a region that the user gave: the share of it inside, and the share that is the region."""

    inside: float
    area: float

    @property
    def beside(self) -> bool:
        """Less of the map lies in the region than of a map that is the same everywhere, or than half."""
        return self.inside < max(self.area, 0.5 * min(1.0, 4 * self.area))


def verdict(
    certainty: Certainty,
    place: Place | None,
    edge: Edge,
    classes: Sequence[Likeness],
    copies: Sequence[Likeness],
    region: Region | None = None,
) -> Verdict:
    """The first rule that ends the matter; else every reason for care, else none.

    classes   runner-up first, then random classes
    """
    if place is None:
        return Verdict("cannot tell", ("the map is the same everywhere",))
    if certainty.guessing:
        return Verdict("do not believe it", (f"the model is guessing ({_unsure(certainty)})",))
    if float(place.falls.abs().max()) < EFFECT:
        return Verdict("cannot tell", ("the model says the same whatever is blurred out",))
    told = f"{nats(place.fall)} nats against {nats(place.elsewhere)} elsewhere, p = {place.p:.2g}"
    if place.p > HOPELESS or place.fall <= 0:
        return Verdict("do not believe it", (f"the place matters no more than any other ({told})",))
    cares = _cares(place, told, edge, region) + _cares_of_likeness(classes, copies)
    return Verdict("with care", tuple(cares)) if cares else Verdict("believe it")


def _cares(place: Place, told: str, edge: Edge, region: Region | None) -> list[str]:
    cares = []
    if place.p > LEVEL:
        cares.append(f"other places matter nearly as much ({told})")
    elif place.fall < EFFECT:
        cares.append(f"the place matters little ({told})")
    if edge.decides:
        cares.append(
            f"the model decides by the edge of the picture, is there a watermark or a caption? "
            f"({nats(edge.edge)} nats, the middle {nats(edge.middle)})"
        )
    if region is not None and region.beside:
        cares.append(f"the map lies beside the region ({region.inside:.0%} inside)")
    return cares


def _cares_of_likeness(classes: Sequence[Likeness], copies: Sequence[Likeness]) -> list[str]:
    steady, cares = middle(copies), []
    if math.isnan(steady) or steady < STEADY:
        cares.append(f"the map is not stable (rank correlation {steady:.2f} with near copies of the picture)")
    band = lowest(copies)
    others = middle(classes[1:] or classes)
    if others >= band:  # NaN is no likeness: nothing speaks for the other classes
        cares.append(f"the map is not about this class (as like the maps of other classes, {others:.2f}, as of copies)")
    return cares


def middle(found: Sequence[Likeness]) -> float:
    """The median of the correlations, NaN without any."""
    known = [one.correlation for one in found if not math.isnan(one.correlation)]
    return float(np.median(known)) if known else math.nan


def lowest(found: Sequence[Likeness]) -> float:
    """The lower end of the band that near copies of the picture give, NaN without any."""
    return min((one.correlation for one in found if not math.isnan(one.correlation)), default=math.nan)


def nats(fall: float) -> str:
    """Two places, never -0.00."""
    return f"{round(fall, 2) + 0.0:.2f}"


def _unsure(certainty: Certainty) -> str:
    return (
        f"its likeliest class has {certainty.probability:.0%}; as unsure as among {certainty.choices:.1f} of "
        f"{certainty.classes} classes"
    )
