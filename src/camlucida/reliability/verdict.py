"""From numbers to words: one table of rules, read from the top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from camlucida.reliability.confidence import BorderTest, Confidence
from camlucida.reliability.position_test import PositionTest
from camlucida.reliability.similarity import ClassSimilarity
from camlucida.render.text import format_nats

VerdictLevel: TypeAlias = Literal["believe it", "with care", "do not believe it", "cannot tell"]

MAX_P = 0.05
"""Up to this p the place matters; by chance so of 5 % of maps that know nothing."""
REJECT_P = 0.2
"""From this p on nothing speaks for the place; between the two the test may have been too weak. Of Grad-CAM's maps of
toybox scenes that are plainly right none comes above it."""
MIN_DROP_NATS = 0.1
"""Nats: a fall of 10 % of the probability. A network with random weights, on its own class: 0.003."""
MIN_STABILITY = 0.5
"""Rank correlation with the maps of near copies of the picture, in the middle of them."""


@dataclass(frozen=True)
class Verdict:
    """What to make of a map: a word, and why."""

    level: VerdictLevel
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.level}: {'; '.join(self.reasons)}" if self.reasons else self.level


@dataclass(frozen=True)
class RegionTest:
    """How the map lies to a region that the user gave: the share of it inside, and the share that is the region."""

    inside: float
    area: float

    @property
    def misses(self) -> bool:
        """Less of the map lies in the region than of a map that is the same everywhere, or than half."""
        return self.inside < max(self.area, 0.5 * min(1.0, 4 * self.area))


def verdict(
    confidence: Confidence,
    position: PositionTest | None,
    border: BorderTest,
    classes: Sequence[ClassSimilarity],
    copies: Sequence[ClassSimilarity],
    region: RegionTest | None = None,
) -> Verdict:
    """The first rule that ends the matter; else every reason for care, else none.

    classes   runner-up first, then random classes
    """
    if position is None:
        return Verdict("cannot tell", ("the map is the same everywhere",))
    if confidence.guessing:
        return Verdict("do not believe it", (f"the model is guessing ({_uncertainty_text(confidence)})",))
    if float(position.drops.abs().max()) < MIN_DROP_NATS:
        return Verdict("cannot tell", ("the model says the same whatever is blurred out",))
    numbers = (
        f"{format_nats(position.drop)} nats against {format_nats(position.mean_drop_elsewhere)} elsewhere, p "
        f"= {position.p:.2g}"
    )
    if position.p > REJECT_P or position.drop <= 0:
        return Verdict("do not believe it", (f"the place matters no more than any other ({numbers})",))
    reservations = _position_reservations(position, numbers, border, region) + _similarity_reservations(classes, copies)
    return Verdict("with care", tuple(reservations)) if reservations else Verdict("believe it")


def _position_reservations(
    position: PositionTest, numbers: str, border: BorderTest, region: RegionTest | None
) -> list[str]:
    reservations = []
    if position.p > MAX_P:
        reservations.append(f"other places matter nearly as much ({numbers})")
    elif position.drop < MIN_DROP_NATS:
        reservations.append(f"the place matters little ({numbers})")
    if border.decides:
        reservations.append(
            f"the model decides by the edge of the picture, is there a watermark or a caption? "
            f"({format_nats(border.edge)} nats, the middle {format_nats(border.middle)})"
        )
    if region is not None and region.misses:
        reservations.append(f"the map lies beside the region ({region.inside:.0%} inside)")
    return reservations


def _similarity_reservations(classes: Sequence[ClassSimilarity], copies: Sequence[ClassSimilarity]) -> list[str]:
    stability, reservations = median_correlation(copies), []
    if math.isnan(stability) or stability < MIN_STABILITY:
        reservations.append(f"the map is not stable (rank correlation {stability:.2f} with near copies of the picture)")
    lower_bound = min_correlation(copies)
    others = median_correlation(classes[1:] or classes)
    if others >= lower_bound:  # NaN is no likeness: nothing speaks for the other classes
        reservations.append(
            f"the map is not about this class (as like the maps of other classes, {others:.2f}, as of copies)"
        )
    return reservations


def median_correlation(similarities: Sequence[ClassSimilarity]) -> float:
    """The median of the correlations, NaN without any."""
    correlations = [one.correlation for one in similarities if not math.isnan(one.correlation)]
    return float(np.median(correlations)) if correlations else math.nan


def min_correlation(similarities: Sequence[ClassSimilarity]) -> float:
    """The lower end of the band that near copies of the picture give, NaN without any."""
    return min((one.correlation for one in similarities if not math.isnan(one.correlation)), default=math.nan)


def _uncertainty_text(confidence: Confidence) -> str:
    return (
        f"its likeliest class has {confidence.probability:.0%}; as unsure as among {confidence.choices:.1f} of "
        f"{confidence.classes} classes"
    )
