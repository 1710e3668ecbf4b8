"""Right answers beside wrong ones: is there a difference in their maps?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.statistics import (
    LEVEL,
    Floats,
    Interval,
    by_spread,
    drawn_means,
    holm,
    percentiles,
    resamples,
)

FEWEST = 5
"""Pictures of each kind, below which a bootstrap says nothing."""


@dataclass(frozen=True)
class Contrast:
    """One number about maps: its mean over right answers, over wrong ones, and right less wrong.

    n           pictures: right, wrong; those of which it is known
    difference  with its 95 % interval: bootstrap over pictures
    p           of no difference, by the bootstrap's standard error; `corrected` by Holm for all of them. NaN for fewer
                than five pictures of a kind
    """

    name: str
    n: tuple[int, int]
    right: Interval
    wrong: Interval
    difference: Interval
    p: float
    corrected: float

    @property
    def differs(self) -> bool:
        apart = self.difference.low > 0 or self.difference.high < 0
        return apart and self.corrected <= LEVEL


def contrasts(names: Sequence[str], values: Floats, correct: NDArray[np.bool_], seed: int = 0) -> list[Contrast]:
    """Of values (pictures, names), NaN where not known, and which answers are right (pictures,)."""
    if not len(names) or not len(values):
        return []
    either = np.hstack([np.where(side[:, None], values, np.nan) for side in (correct, ~correct)])
    drawn = np.vstack([drawn_means(group, either) for group in resamples(len(values), seed=seed)])
    whole = drawn_means(np.ones((1, len(values))), either)[0]
    counts = (~np.isnan(either)).sum(0)
    found = []
    for i, name in enumerate(names):
        right, wrong = i, i + len(names)
        n = int(counts[right]), int(counts[wrong])
        apart, apart_drawn = float(whole[right] - whole[wrong]), drawn[:, right] - drawn[:, wrong]
        p = by_spread(apart, apart_drawn) if min(n) >= FEWEST else float("nan")
        found.append(
            Contrast(
                name,
                n,
                percentiles(float(whole[right]), drawn[:, right]),
                percentiles(float(whole[wrong]), drawn[:, wrong]),
                percentiles(apart, apart_drawn),
                p,
                p,
            )
        )
    return [replace(each, corrected=p) for each, p in zip(found, holm([each.p for each in found]), strict=True)]
