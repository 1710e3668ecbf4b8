"""Comparison of the maps of correct and of wrong predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.clustered import Images, row_resamples
from camlucida.evaluation.statistics import (
    SIGNIFICANCE_LEVEL,
    Floats,
    Interval,
    bootstrap_p,
    holm_correction,
    percentile_interval,
    resampled_means,
)

MIN_IMAGES = 5
"""Minimum number of images per group for a bootstrap test."""


@dataclass(frozen=True)
class GroupDifference:
    """The mean of one map statistic over correct and over wrong predictions, and their difference.

    Attributes:
        name: Name of the statistic.
        n: Number of correct and of wrong predictions for which it is defined.
        right: Mean over the correct predictions, with its interval.
        wrong: Mean over the wrong predictions, with its interval.
        difference: `right` minus `wrong`, with its 95 % bootstrap interval over the images.
        p: P-value of the hypothesis of no difference, by the bootstrap standard error; NaN for fewer than five images
            in either group.
        corrected: `p` after Holm's correction over all statistics.
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
        """Return whether the interval excludes 0 and the corrected p-value is significant."""
        significant = self.difference.low > 0 or self.difference.high < 0
        return significant and self.corrected <= SIGNIFICANCE_LEVEL


def group_differences(
    names: Sequence[str],
    values: Floats,
    correct: NDArray[np.bool_],
    seed: int = 0,
    images: Images | None = None,
) -> list[GroupDifference]:
    """Compare map statistics of correct and of wrong predictions.

    Args:
        names: Names of the k statistics.
        values: Values `(n, k)`, NaN where undefined.
        correct: Whether each prediction is correct `(n,)`.
        seed: Seed of the bootstrap.
        images: The image of each prediction `(n,)`, where several share one: images are resampled then.

    Returns:
        One comparison per statistic; empty without statistics or images.
    """
    if not len(names) or not len(values):
        return []
    grouped = np.hstack([np.where(side[:, None], values, np.nan) for side in (correct, ~correct)])
    resampled = np.vstack([resampled_means(group, grouped) for group in row_resamples(len(values), images, seed=seed)])
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
                percentile_interval(float(means[right]), resampled[:, right], n[0]),
                percentile_interval(float(means[wrong]), resampled[:, wrong], n[1]),
                percentile_interval(difference, resampled_difference, min(n)),
                p,
                p,
            )
        )
    return [
        replace(each, corrected=p)
        for each, p in zip(differences, holm_correction([each.p for each in differences]), strict=True)
    ]
