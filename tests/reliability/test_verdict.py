"""The table of rules, and the numbers it reads."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from camlucida.reliability.confidence import BorderTest, Confidence, confidence
from camlucida.reliability.position_test import PositionTest
from camlucida.reliability.similarity import ClassSimilarity, rank_correlation
from camlucida.reliability.verdict import RegionTest, verdict

CONFIDENT = Confidence(0.99, 0.98, 1.1, 10)


def position_test_of(p: float, drop: float = 2.0) -> PositionTest:
    """A test of 100 moves with so small a p."""
    drops = torch.full((100,), drop / 2)
    drops[: round(100 * p)] = drop
    return PositionTest(drops, torch.zeros(4, 4), torch.zeros(3, 4, 4))


def rising(fall: float) -> PositionTest:
    """The class rises wherever something is blurred out, and least at the map's own place: p is 0.01."""
    return PositionTest(torch.tensor([fall, *[-3.0] * 99]), torch.zeros(4, 4), torch.zeros(3, 4, 4))


def similarities(*correlations: float) -> tuple[ClassSimilarity, ...]:
    return tuple(ClassSimilarity("one", c, torch.zeros(4, 4)) for c in correlations)


GOOD: dict[str, Any] = {
    "confidence": CONFIDENT,
    "position": position_test_of(0.01),
    "border": BorderTest(0.1, 2.0, 0.3),
    "classes": similarities(0.9, 0.1, 0.0),
    "copies": similarities(0.95, 0.9),
    "region": RegionTest(0.8, 0.3),
}


@pytest.mark.parametrize(
    ("change", "belief", "reason"),
    [
        ({}, "believe it", ""),
        ({"position": None}, "cannot tell", "the same everywhere"),
        ({"confidence": Confidence(0.15, 0.01, 9.0, 10)}, "do not believe it", "guessing"),
        ({"confidence": Confidence(0.4, 0.2, 3.17, 10)}, "do not believe it", "guessing"),
        ({"confidence": Confidence(0.4, 0.2, 3.15, 10)}, "believe it", ""),
        ({"position": position_test_of(0.01, 0.001)}, "cannot tell", "the same whatever is blurred out"),
        ({"position": position_test_of(0.05)}, "believe it", ""),
        ({"position": position_test_of(0.06)}, "with care", "other places matter nearly as much"),
        ({"position": position_test_of(0.21)}, "do not believe it", "no more than any other"),
        ({"position": position_test_of(0.01, -2.0)}, "do not believe it", "no more than any other"),
        ({"position": rising(-1.0)}, "do not believe it", "no more than any other"),
        ({"position": rising(0.0)}, "do not believe it", "no more than any other"),
        ({"position": rising(0.2)}, "believe it", ""),
        ({"border": BorderTest(2.0, 0.1, 0.8)}, "with care", "the edge of the picture"),
        ({"border": BorderTest(-0.1, -2.0, 0.8)}, "believe it", ""),
        ({"border": BorderTest(2.0, 0.1, 0.3)}, "believe it", ""),  # what is marked lies in the middle
        ({"classes": similarities(0.9, 0.95, 0.92)}, "with care", "not about this class"),
        ({"classes": similarities(0.95)}, "with care", "not about this class"),
        ({"classes": similarities(math.nan, math.nan)}, "believe it", ""),
        ({"copies": similarities(0.3, 0.4)}, "with care", "not stable"),
        ({"copies": similarities(math.nan)}, "with care", "not stable"),
        ({"region": RegionTest(0.2, 0.3)}, "with care", "beside the region"),
        ({"region": None}, "believe it", ""),
    ],
)
def test_every_rule(change: dict[str, Any], belief: str, reason: str) -> None:
    result = verdict(**{**GOOD, **change})
    assert result.level == belief
    assert reason in str(result)
    assert len(result.reasons) == bool(reason)


def test_all_reservations_are_listed() -> None:
    result = verdict(
        **{**GOOD, "border": BorderTest(2, 1, 0.8), "region": RegionTest(0.1, 0.3), "copies": similarities(0.2)}
    )
    assert len(result.reasons) == 3


def test_confidence_of_known_logits() -> None:
    knows_nothing = confidence(torch.zeros(8))
    assert knows_nothing.choices == pytest.approx(8)
    assert knows_nothing.unsure == pytest.approx(1)
    assert knows_nothing.guessing
    torn = confidence(torch.tensor([50.0, 50.0, 0.0, 0.0, 0.0, 0.0]))
    assert (torn.probability, torn.margin, torn.choices) == pytest.approx((0.5, 0, 2))
    certain = confidence(torch.tensor([200.0, 0.0]))
    assert (certain.probability, certain.choices, certain.unsure) == pytest.approx((1, 1, 0))
    assert not dataclasses.replace(certain, choices=1.41).guessing
    assert dataclasses.replace(certain, choices=1.42).guessing


def test_rank_correlation() -> None:
    map_ = torch.rand(6, 6)
    assert rank_correlation(map_, map_.exp()) == pytest.approx(1)
    assert rank_correlation(map_, -map_) == pytest.approx(-1)
    assert math.isnan(rank_correlation(map_, torch.zeros(6, 6)))
    assert math.isnan(rank_correlation(map_, map_ * torch.nan))
