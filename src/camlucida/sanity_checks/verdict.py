"""The verdict of a check on a method: whether its maps stay more similar than they should."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Check: TypeAlias = Literal["cascading", "independent", "smooth", "random_logit", "labels"]
CHECKS: tuple[Check, ...] = ("cascading", "independent", "smooth", "random_logit", "labels")

MAX_CORRELATION = 0.2
"""A mean rank correlation with the original maps below this counts as none. Hedström et al. report 0.06 for Grad-CAM
and 0.47 for guided backpropagation, on ResNet-18.
"""

MAX_UPPER_HALF = 0.5
"""Maximum mean rank correlation when the upper half of the network is re-initialised. A map above it does not depend on
the layers that decide: guided backpropagation lies above (0.6 to 0.9 on ResNet-18), the gradient (0.2) and Grad-CAM
(0.0) do not.
"""

MAX_OTHER_CLASS = 0.8
"""A mean rank correlation between the maps of different classes above this means that the map is nearly class-blind."""


@dataclass(frozen=True)
class Step:
    """The similarity of the maps of one image before and after one step.

    Attributes:
        image: Name of the image.
        method: Name of the method.
        check: Name of the check.
        stage: The stage that was re-initialised last; or the class, for random_logit.
        fraction: Fraction of the stages that are re-initialised, in [0, 1].
        seed: Seed of the re-initialisation.
        spearman: Rank correlation of the signed maps.
        absolute: Rank correlation of the maps' absolute values.
        ssim: Structural similarity of the maps on the network input.
        hog: Correlation of the maps' histograms of oriented gradients.
        pair: Rank correlation with the map of the *next* image: what two maps have in common by chance.
        target: The explained box, region, word or class as text; empty for the predicted class.
    """

    image: str
    method: str
    check: Check
    stage: str
    fraction: float
    seed: int
    spearman: float
    absolute: float
    ssim: float
    hog: float
    pair: float
    target: str = ""


@dataclass(frozen=True)
class SanityVerdict:
    """The verdict of a check on a method.

    Attributes:
        method: Name of the method.
        check: Name of the check.
        passed: Whether the map is sensitive to the change; None where that cannot be determined.
        value: The mean rank correlation that decides.
        error: Its standard error; where an image has several targets, images are independent and targets are not. A
            method fails if `value` exceeds `limit` by more than twice the error.
        limit: Maximum of `value`.
        upper: For cascading only, the mean rank correlation with the upper half re-initialised, which must be below
            `MAX_UPPER_HALF`.
        n: Number of comparisons.
        invalid: Number of comparisons that are undefined because a map is constant.
    """

    method: str
    check: Check
    passed: bool | None
    value: float
    error: float
    limit: float
    upper: float | None
    n: int
    invalid: int

    @property
    def text(self) -> str:
        """Return the verdict as text, with its numbers."""
        if self.passed is None:
            return f"cannot tell: no map of {self.n} could be compared"
        word = "passes" if self.passed else "FAILS"
        half = (
            ""
            if self.upper is None
            else f", {self.upper:.2f} with the upper half re-initialised (below {MAX_UPPER_HALF:g})"
        )
        return f"{word}: rank correlation {self.value:.2f} ± {self.error:.2f} (below {self.limit:.2f} passes){half}"

    def __str__(self) -> str:
        return f"{self.method}, {self.check}: {self.text}"


def judge_check(method: str, check: Check, steps: Sequence[Step]) -> SanityVerdict:
    """Return the verdict of the steps of one method and check.

    For cascading randomisation the last step decides, for independent randomisation the stage that changes the map
    least, and otherwise all steps.

    Args:
        method: Name of the method.
        check: Name of the check.
        steps: The steps of this method and check.

    Returns:
        The verdict.
    """
    if check in ("cascading", "smooth"):
        deciding = [s for s in steps if s.fraction == 1]
    elif check == "independent":
        stages_ = dict.fromkeys(s.stage for s in steps)
        last = max(stages_, key=lambda name: nanmean([s.spearman for s in steps if s.stage == name]))
        deciding = [s for s in steps if s.stage == last]
    else:
        deciding = list(steps)
    correlations = [s.spearman for s in deciding if not math.isnan(s.spearman)]
    n, invalid = len(deciding), len(deciding) - len(correlations)
    limit = MAX_OTHER_CLASS if check == "random_logit" else min(MAX_CORRELATION, _pair_quantile(deciding))
    upper = _upper_half_mean(steps) if check == "cascading" else None
    if not correlations:
        return SanityVerdict(method, check, None, float("nan"), float("nan"), limit, upper, n, invalid)
    value = nanmean(correlations)
    error = _clustered_error(deciding) if any(s.target for s in deciding) else _standard_error(correlations)
    correlation = (
        value if check == "random_logit" else abs(value)
    )  # an inverted map counts as similar, except for another class
    passed = correlation - 2 * error < limit and (upper is None or math.isnan(upper) or upper < MAX_UPPER_HALF)
    return SanityVerdict(method, check, passed, value, error, limit, upper, n, invalid)


def _upper_half_mean(steps: Sequence[Step]) -> float:
    """Return the mean correlation at the step closest to half of the network."""
    half = min({s.fraction for s in steps}, key=lambda fraction: abs(fraction - 0.5))
    return nanmean([s.spearman for s in steps if s.fraction == half])


def _standard_error(values: Sequence[float]) -> float:
    """Return the standard error of the mean."""
    centre = nanmean(values)
    return math.sqrt(sum((v - centre) ** 2 for v in values) / max(1, len(values) - 1) / len(values))


def _clustered_error(steps: Sequence[Step]) -> float:
    """Return the standard error of the mean where steps of one image are not independent (Liang & Zeger, 1986)."""
    known = [s for s in steps if not math.isnan(s.spearman)]
    centre = nanmean([s.spearman for s in known])
    residuals: dict[str, float] = {}
    for s in known:
        residuals[s.image] = residuals.get(s.image, 0.0) + s.spearman - centre
    n_images = len(residuals)
    if n_images < 2:
        return _standard_error([s.spearman for s in known])
    return math.sqrt(sum(r**2 for r in residuals.values()) * n_images / (n_images - 1)) / len(known)


def _pair_quantile(steps: Sequence[Step]) -> float:
    """Return the 95th percentile of the correlations between maps of *different* images; 1 for a single image."""
    pairs = sorted(abs(s.pair) for s in steps if not math.isnan(s.pair))
    several = len({s.image for s in steps}) > 1
    return pairs[min(len(pairs) - 1, int(0.95 * len(pairs)))] if several and pairs else 1.0


def nanmean(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN without any."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else float("nan")
