"""Right answers beside wrong ones: is there a difference in their maps?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.statistics import (
    SIGNIFICANCE_LEVEL,
    Floats,
    Interval,
    bootstrap_p,
    holm_correction,
    percentile_interval,
    resampled_means,
    resamples,
)

MIN_IMAGES = 5
"""Pictures of each kind, below which a bootstrap says nothing."""


@dataclass(frozen=True)
class GroupDifference:
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
        significant = self.difference.low > 0 or self.difference.high < 0
        return significant and self.corrected <= SIGNIFICANCE_LEVEL


def group_differences(
    names: Sequence[str], values: Floats, correct: NDArray[np.bool_], seed: int = 0
) -> list[GroupDifference]:
    """Of values (pictures, names), NaN where not known, and which answers are right (pictures,)."""
    if not len(names) or not len(values):
        return []
    grouped = np.hstack([np.where(side[:, None], values, np.nan) for side in (correct, ~correct)])
    resampled = np.vstack([resampled_means(group, grouped) for group in resamples(len(values), seed=seed)])
    means = resampled_means(np.ones((1, len(values))), grouped)[0]
    counts = (~np.isnan(grouped)).sum(0)
    differences = []
    for i, name in enumerate(names):
        right, wrong = i, i + len(names)
        n = int(counts[right]), int(counts[wrong])
        difference, resampled_difference = float(means[right] - means[wrong]), resampled[:, right] - resampled[:, wrong]
        p = bootstrap_p(difference, resampled_difference) if min(n) >= MIN_IMAGES else float("nan")
        differences.append(
            GroupDifference(
                name,
                n,
                percentile_interval(float(means[right]), resampled[:, right]),
                percentile_interval(float(means[wrong]), resampled[:, wrong]),
                percentile_interval(difference, resampled_difference),
                p,
                p,
            )
        )
    return [
        replace(each, corrected=p)
        for each, p in zip(differences, holm_correction([each.p for each in differences]), strict=True)
    ]
