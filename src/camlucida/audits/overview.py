"""The numbers that summarise a complete audit: images, errors, accuracy, and the energy on the object."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from camlucida.analysis.confusion import wilson_interval
from camlucida.audits.audit_result import Audit
from camlucida.evaluation.clustered import Images, clustered_variance, effective_size, row_resamples
from camlucida.evaluation.statistics import (
    Floats,
    Interval,
    percentile_interval,
    resampled_means,
)

MAX_BOOTSTRAP_IMAGES = 10_000
"""Number of images above which the mean's interval comes from its standard error: they agree, and it is instant."""


@dataclass(frozen=True)
class Overview:
    """The numbers that summarise an audit.

    Attributes:
        n_images: Number of images.
        n_rows: Number of rows: of images, or of the targets of images.
        n_errors: Number of images that could not be read or explained.
        n_labelled: Number of images whose prediction can be judged.
        accuracy: Fraction of correct predictions, with Wilson's interval; NaN without labels.
        energy_in_box: Mean fraction of the map of the predicted class on the object; NaN without boxes or masks.
        box_area: Mean fraction of the image that the object covers, the chance level of `energy_in_box`.
    """

    n_images: int
    n_rows: int
    n_errors: int
    n_labelled: int
    accuracy: Interval
    energy_in_box: Interval
    box_area: float


def overview(audit: Audit) -> Overview:
    """Return the numbers that summarise an audit."""
    correct = [value for value in audit.column("correct") if value is not None]
    energy, area = audit.column("energy_in_box"), audit.column("box_area")
    measured = np.isfinite(energy)
    images = audit.images()
    accuracy = wilson_interval(sum(correct), len(correct))
    if images is not None and correct:
        judged = np.array([value is not None for value in audit.column("correct")])
        n = effective_size(np.array(correct, dtype=np.float64), images[judged])
        accuracy = wilson_interval(accuracy.value * n, n)
    return Overview(
        n_images=len(energy) if images is None else int(images.max(initial=-1)) + 1,
        n_rows=len(energy),
        n_errors=sum(value is not None for value in audit.column("error")),
        n_labelled=len(correct),
        accuracy=accuracy,
        energy_in_box=_mean_interval(
            energy[measured], audit.plan["seed"], None if images is None else images[measured]
        ),
        box_area=float(area[measured].mean()) if measured.any() else math.nan,
    )


def _mean_interval(values: Floats, seed: int, images: Images | None) -> Interval:
    """Return the mean of values `(n,)` without NaN with its 95 % interval; NaN for none."""
    n = len(values)
    if not n:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(values.mean())
    if n > MAX_BOOTSTRAP_IMAGES:
        deviation = float(values.std(ddof=1)) / math.sqrt(n)
        if images is not None:
            deviation = float(clustered_variance((values - mean)[:, None], images)[0]) ** 0.5 / n
        half = 1.959964 * deviation
        return Interval(mean, mean - half, mean + half)
    drawn = np.concatenate(
        [resampled_means(counts, values[:, None])[:, 0] for counts in row_resamples(n, images, seed=seed)]
    )
    return percentile_interval(mean, drawn, n)
