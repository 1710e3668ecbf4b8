"""The verdict on a map: an ordered list of rules on the results of the tests."""

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
"""Maximum p-value for the position to count as significant; 5 % of uninformative maps reach it by chance."""
REJECT_P = 0.2
"""Above this p-value there is no evidence for the position; between the two limits the test may lack power. None of
Grad-CAM's maps of toybox scenes that are evidently correct lies above it.
"""
MIN_DROP_NATS = 0.1
"""Minimum drop in nats, a decrease of the probability by 10 %. A network with random weights reaches 0.003 for its own
class.
"""
MIN_STABILITY = 0.5
"""Minimum median rank correlation with the maps of perturbed copies of the image."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on a map.

    Attributes:
        level: The verdict.
        reasons: Reasons for it, as text.
    """

    level: VerdictLevel
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.level}: {'; '.join(self.reasons)}" if self.reasons else self.level


@dataclass(frozen=True)
class RegionTest:
    """How a map lies with respect to a given region.

    Attributes:
        inside: Fraction of the map inside the region.
        area: Fraction of the image that the region covers.
    """

    inside: float
    area: float

    @property
    def misses(self) -> bool:
        """Return whether less of the map lies in the region than of a constant map, or less than half."""
        return self.inside < max(self.area, 0.5 * min(1.0, 4 * self.area))


def verdict(
    confidence: Confidence,
    position: PositionTest | None,
    border: BorderTest,
    classes: Sequence[ClassSimilarity],
    copies: Sequence[ClassSimilarity],
    region: RegionTest | None = None,
) -> Verdict:
    """Return the verdict of the first decisive rule; otherwise all reservations, or none.

    Args:
        confidence: Confidence of the prediction.
        position: Test of the position; None for a constant map.
        border: Test of the border.
        classes: Similarity to the maps of other classes: the runner-up first, then random ones.
        copies: Similarity to the maps of perturbed copies.
        region: How the map lies with respect to the given region, if there is one.

    Returns:
        The verdict, with its reasons.
    """
    if position is None:
        return Verdict("cannot tell", ("the map is the same everywhere",))
    if confidence.guessing:
        return Verdict("do not believe it", (f"the model is guessing ({_uncertainty_text(confidence)})",))
    if float(position.drops.abs().max()) < MIN_DROP_NATS:
        return Verdict("cannot tell", ("the model says the same whatever is blurred out",))
    numbers = (
        f"{format_nats(position.drop)} nats against {format_nats(position.mean_drop_elsewhere)} elsewhere, "
        f"p = {position.p:.2g}"
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
    if others >= lower_bound:  # NaN is no similarity, and so no evidence against the map
        reservations.append(
            f"the map is not about this class (as like the maps of other classes, {others:.2f}, as of copies)"
        )
    return reservations


def median_correlation(similarities: Sequence[ClassSimilarity]) -> float:
    """Return the median of the correlations that are defined; NaN without any."""
    correlations = [one.correlation for one in similarities if not math.isnan(one.correlation)]
    return float(np.median(correlations)) if correlations else math.nan


def min_correlation(similarities: Sequence[ClassSimilarity]) -> float:
    """Return the lowest correlation with a perturbed copy: the lower end of their band; NaN without any."""
    return min((one.correlation for one in similarities if not math.isnan(one.correlation)), default=math.nan)


def _uncertainty_text(confidence: Confidence) -> str:
    return (
        f"its likeliest class has {confidence.probability:.0%}; as unsure as among {confidence.choices:.1f} of "
        f"{confidence.classes} classes"
    )
