"""The rules of the verdict, and the numbers that they use."""

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
from camlucida.tasks import OutputActivation

CONFIDENT = Confidence(0.99, 0.98, 1.1, 10)


def position_test_of(p: float, drop: float = 2.0) -> PositionTest:
    """Return the test of a map with a given p-value, for 100 transforms, and a drop, half of it at other positions."""
    statistics = torch.zeros(100)
    statistics[: round(100 * p)] = 1
    window_drops = torch.full((4, 4), drop / 2)
    return PositionTest(statistics, torch.zeros(4, 4), drop, window_drops, torch.zeros(4, 4), torch.zeros(3, 4, 4))


def rising(drop: float) -> PositionTest:
    """Return the test of a map with p = 0.01, where blurring any other position raises the log-probability."""
    return dataclasses.replace(position_test_of(0.01, drop), window_drops=torch.full((4, 4), -3.0))


def similarities(*correlations: float) -> tuple[ClassSimilarity, ...]:
    return tuple(ClassSimilarity("class", c, torch.zeros(4, 4)) for c in correlations)


GOOD: dict[str, Any] = {
    "confidence": CONFIDENT,
    "position": position_test_of(0.01),
    "border": BorderTest(0.1, 2.0, 0.3),
    "classes": similarities(0.9, 0.1, 0.0),
    "copies": similarities(0.95, 0.9),
    "region": RegionTest(0.8, 0.3),
}


@pytest.mark.parametrize(
    ("change", "level", "reason"),
    [
        ({}, "supported", ""),
        ({"position": None}, "cannot tell", "the map is constant"),
        ({"confidence": Confidence(0.15, 0.01, 9.0, 10)}, "not supported", "is a guess"),
        ({"confidence": Confidence(0.4, 0.2, 3.17, 10)}, "not supported", "is a guess"),
        ({"confidence": Confidence(0.4, 0.2, 3.15, 10)}, "supported", ""),
        ({"position": position_test_of(0.01, 0.001)}, "cannot tell", "no blurred region changes"),
        ({"position": position_test_of(0.05)}, "supported", ""),
        ({"position": position_test_of(0.06)}, "cannot tell", "other positions matter nearly as much"),
        ({"position": position_test_of(0.2)}, "cannot tell", "other positions matter nearly as much"),
        ({"position": position_test_of(0.21)}, "not supported", "does not depend on the highlighted region"),
        ({"position": position_test_of(0.01, -2.0)}, "not supported", "does not depend on the highlighted region"),
        ({"position": rising(-1.0)}, "not supported", "does not depend on the highlighted region"),
        ({"position": rising(0.0)}, "not supported", "does not depend on the highlighted region"),
        ({"position": rising(0.2)}, "supported", ""),
        ({"border": BorderTest(2.0, 0.1, 0.8)}, "weakly supported", "the border of the image"),
        ({"border": BorderTest(-0.1, -2.0, 0.8)}, "supported", ""),
        ({"border": BorderTest(2.0, 0.1, 0.3)}, "supported", ""),  # the highlighted region lies in the middle
        ({"classes": similarities(0.9, 0.95, 0.92)}, "weakly supported", "not class-sensitive"),
        ({"classes": similarities(0.95)}, "weakly supported", "not class-sensitive"),
        ({"classes": similarities(math.nan, math.nan)}, "supported", ""),
        ({"copies": similarities(0.3, 0.4)}, "weakly supported", "not stable"),
        ({"copies": similarities(math.nan)}, "weakly supported", "not stable"),
        ({"region": RegionTest(0.2, 0.3)}, "weakly supported", "misses the region"),
        ({"region": None}, "supported", ""),
    ],
)
def test_every_rule(change: dict[str, Any], level: str, reason: str) -> None:
    result = verdict(**{**GOOD, **change})
    assert result.level == level
    assert reason in str(result)
    assert len(result.reasons) == bool(reason)


def test_no_verdict_is_positive_unless_the_position_is_significant() -> None:
    positive = {"supported", "weakly supported"}
    changes = ({}, {"region": None}, {"border": BorderTest(2, 1, 0.8)}, {"classes": similarities(0.95)})
    for change in changes:
        levels = {p: verdict(**{**GOOD, **change, "position": position_test_of(p / 100)}).level for p in range(1, 101)}
        assert {p for p, level in levels.items() if level in positive} == {1, 2, 3, 4, 5}


def test_all_reservations_are_listed() -> None:
    result = verdict(
        **{**GOOD, "border": BorderTest(2, 1, 0.8), "region": RegionTest(0.1, 0.3), "copies": similarities(0.2)}
    )
    assert len(result.reasons) == 3


def test_confidence_of_known_logits() -> None:
    uniform = confidence(torch.zeros(8))
    assert uniform.choices == pytest.approx(8)
    assert uniform.unsure == pytest.approx(1)
    assert uniform.guessing
    tied = confidence(torch.tensor([50.0, 50.0, 0.0, 0.0, 0.0, 0.0]))
    assert (tied.probability, tied.margin, tied.choices) == pytest.approx((0.5, 0, 2))
    certain = confidence(torch.tensor([200.0, 0.0]))
    assert (certain.probability, certain.choices, certain.unsure) == pytest.approx((1, 1, 0))
    assert not dataclasses.replace(certain, choices=1.41).guessing
    assert dataclasses.replace(certain, choices=1.42).guessing


def test_a_class_of_a_multi_label_network_is_no_guess_where_it_is_predicted() -> None:
    multi_label = OutputActivation("multilabel")
    scores = torch.tensor([0.6, -1.0, 3.0])
    one, other = (confidence(scores, multi_label, target) for target in (0, 1))
    assert one.present == pytest.approx(1 / (1 + math.exp(-0.6)))
    assert not one.guessing
    assert other.guessing
    assert other.probability == pytest.approx(1 - 1 / (1 + math.e))  # of the absence, which is more probable


def test_rank_correlation() -> None:
    map_ = torch.rand(6, 6)
    assert rank_correlation(map_, map_.exp()) == pytest.approx(1)
    assert rank_correlation(map_, -map_) == pytest.approx(-1)
    assert math.isnan(rank_correlation(map_, torch.zeros(6, 6)))
    assert math.isnan(rank_correlation(map_, map_ * torch.nan))
