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
from camlucida.render.text import format_nats, format_p

VerdictLevel: TypeAlias = Literal["supported", "weakly supported", "not supported", "cannot tell"]
"""How well the tests support a map as an explanation of the prediction; it says nothing about the prediction itself."""

MAX_P = 0.05
"""Maximum p-value for a positive verdict, also a weak one: at most 5 % of the maps that are independent of the image
reach it by chance, whatever the other tests say.
"""
REJECT_P = 0.2
"""Above this p-value there is no evidence for the position; between the two limits the test may lack power, and the
verdict is "cannot tell". None of Grad-CAM's maps of toybox scenes that are evidently correct lies above it.
"""
MIN_DROP_NATS = 0.1
"""Minimum drop in nats: a decrease of the probability by 10 %. A network with random weights reaches 0.003 for the
class that it predicts.
"""
MIN_STABILITY = 0.5
"""Minimum median rank correlation with the maps of perturbed copies of the image."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on a map.

    Attributes:
        level: The verdict.
        reasons: The reasons for it, as text.
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
        return Verdict("cannot tell", ("the map is constant",))
    if confidence.guessing:
        if confidence.present is not None:
            return Verdict("not supported", (f"the class is not predicted (probability {confidence.present:.0%})",))
        return Verdict("not supported", (f"the prediction is a guess ({_uncertainty_text(confidence)})",))
    if max(abs(position.drop), float(position.window_drops.abs().max())) < MIN_DROP_NATS:
        return Verdict("cannot tell", (f"no blurred region changes the log-probability by {MIN_DROP_NATS} nats",))
    numbers = (
        f"drop of {format_nats(position.drop)} nats, {format_nats(position.mean_drop_elsewhere)} at other positions, "
        f"p = {format_p(position.p)}"
    )
    if position.p > REJECT_P or position.drop <= 0:
        return Verdict("not supported", (f"the target does not depend on the highlighted region ({numbers})",))
    if position.p > MAX_P:
        return Verdict("cannot tell", (f"other positions matter nearly as much ({numbers})",))
    reservations = _position_reservations(position, numbers, border, region) + _similarity_reservations(classes, copies)
    return Verdict("weakly supported", tuple(reservations)) if reservations else Verdict("supported")


def _position_reservations(
    position: PositionTest, numbers: str, border: BorderTest, region: RegionTest | None
) -> list[str]:
    reservations = []
    if position.drop < MIN_DROP_NATS:
        reservations.append(f"the highlighted region matters little ({numbers})")
    if border.decides:
        reservations.append(
            "the prediction depends on the border of the image, check for a watermark or a caption "
            f"(drop of {format_nats(border.edge)} nats, {format_nats(border.middle)} for the middle)"
        )
    if region is not None and region.misses:
        reservations.append(f"the map misses the region ({region.inside:.0%} of it inside)")
    return reservations


def _similarity_reservations(classes: Sequence[ClassSimilarity], copies: Sequence[ClassSimilarity]) -> list[str]:
    stability, reservations = median_correlation(copies), []
    if math.isnan(stability) or stability < MIN_STABILITY:
        reservations.append(f"the map is not stable (rank correlation {stability:.2f} with perturbed copies)")
    lower_bound = min_correlation(copies)
    others = median_correlation(classes[1:] or classes)
    if others >= lower_bound:  # a comparison with NaN is false: undefined correlations are no evidence against the map
        reservations.append(
            f"the map is not class-sensitive (rank correlation {others:.2f} with other classes, "
            f"at least {lower_bound:.2f} with perturbed copies)"
        )
    return reservations


def median_correlation(similarities: Sequence[ClassSimilarity]) -> float:
    """Return the median of the correlations that are defined; NaN without any."""
    correlations = [s.correlation for s in similarities if not math.isnan(s.correlation)]
    return float(np.median(correlations)) if correlations else math.nan


def min_correlation(similarities: Sequence[ClassSimilarity]) -> float:
    """Return the lowest correlation that is defined; NaN without any."""
    return min((s.correlation for s in similarities if not math.isnan(s.correlation)), default=math.nan)


def _uncertainty_text(confidence: Confidence) -> str:
    return (
        f"probability {confidence.probability:.0%}, perplexity {confidence.choices:.1f} of {confidence.classes} classes"
    )
