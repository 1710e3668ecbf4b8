"""The table of rules, and the numbers it reads."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from camlucida.trusting.agreement import Likeness, alike
from camlucida.trusting.certainty import Certainty, Edge, certainty
from camlucida.trusting.place import Place
from camlucida.trusting.verdict import Region, verdict

SURE = Certainty(0.99, 0.98, 1.1, 10)


def place_of(p: float, fall: float = 2.0) -> Place:
    """A test of 100 moves with so small a p."""
    falls = torch.full((100,), fall / 2)
    falls[: round(100 * p)] = fall
    return Place(falls, torch.zeros(4, 4), torch.zeros(3, 4, 4))


def rising(fall: float) -> Place:
    """The class rises wherever something is blurred out, and least at the map's own place: p is 0.01."""
    return Place(torch.tensor([fall, *[-3.0] * 99]), torch.zeros(4, 4), torch.zeros(3, 4, 4))


def like(*correlations: float) -> tuple[Likeness, ...]:
    return tuple(Likeness("one", c, torch.zeros(4, 4)) for c in correlations)


GOOD: dict[str, Any] = {"certainty": SURE, "place": place_of(0.01), "edge": Edge(0.1, 2.0, 0.3),
    "classes": like(0.9, 0.1, 0.0), "copies": like(0.95, 0.9), "region": Region(0.8, 0.3)}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "belief", "reason"),
    [
        ({}, "believe it", ""),
        ({"place": None}, "cannot tell", "the same everywhere"),
        ({"certainty": Certainty(0.15, 0.01, 9.0, 10)}, "do not believe it", "guessing"),
        ({"certainty": Certainty(0.4, 0.2, 3.17, 10)}, "do not believe it", "guessing"),
        ({"certainty": Certainty(0.4, 0.2, 3.15, 10)}, "believe it", ""),
        ({"place": place_of(0.01, 0.001)}, "cannot tell", "the same whatever is blurred out"),
        ({"place": place_of(0.05)}, "believe it", ""),
        ({"place": place_of(0.06)}, "with care", "other places matter nearly as much"),
        ({"place": place_of(0.21)}, "do not believe it", "no more than any other"),
        ({"place": place_of(0.01, -2.0)}, "do not believe it", "no more than any other"),
        ({"place": rising(-1.0)}, "do not believe it", "no more than any other"),
        ({"place": rising(0.0)}, "do not believe it", "no more than any other"),
        ({"place": rising(0.2)}, "believe it", ""),
        ({"edge": Edge(2.0, 0.1, 0.8)}, "with care", "the edge of the picture"),
        ({"edge": Edge(-0.1, -2.0, 0.8)}, "believe it", ""),
        ({"edge": Edge(2.0, 0.1, 0.3)}, "believe it", ""),  # what is marked lies in the middle
        ({"classes": like(0.9, 0.95, 0.92)}, "with care", "not about this class"),
        ({"classes": like(0.95)}, "with care", "not about this class"),
        ({"classes": like(math.nan, math.nan)}, "believe it", ""),
        ({"copies": like(0.3, 0.4)}, "with care", "not stable"),
        ({"copies": like(math.nan)}, "with care", "not stable"),
        ({"region": Region(0.2, 0.3)}, "with care", "beside the region"),
        ({"region": None}, "believe it", ""),
    ],
)
def test_every_rule(change: dict[str, Any], belief: str, reason: str) -> None:
    found = verdict(**{**GOOD, **change})
    assert found.belief == belief
    assert reason in str(found)
    assert len(found.reasons) == bool(reason)


def test_all_reasons_for_care_are_said() -> None:
    found = verdict(**{**GOOD, "edge": Edge(2, 1, 0.8), "region": Region(0.1, 0.3), "copies": like(0.2)})
    assert len(found.reasons) == 3


def test_certainty_of_known_answers() -> None:
    knows_nothing = certainty(torch.zeros(8))
    assert knows_nothing.choices == pytest.approx(8)
    assert knows_nothing.unsure == pytest.approx(1)
    assert knows_nothing.guessing
    torn = certainty(torch.tensor([50.0, 50.0, 0.0, 0.0, 0.0, 0.0]))
    assert (torn.probability, torn.margin, torn.choices) == pytest.approx((0.5, 0, 2))
    sure = certainty(torch.tensor([200.0, 0.0]))
    assert (sure.probability, sure.choices, sure.unsure) == pytest.approx((1, 1, 0))
    assert not dataclasses.replace(sure, choices=1.41).guessing
    assert dataclasses.replace(sure, choices=1.42).guessing


def test_alike() -> None:
    map_ = torch.rand(6, 6)
    assert alike(map_, map_.exp()) == pytest.approx(1)
    assert alike(map_, -map_) == pytest.approx(-1)
    assert math.isnan(alike(map_, torch.zeros(6, 6)))
    assert math.isnan(alike(map_, map_ * torch.nan))
