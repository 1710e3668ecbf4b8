"""What a check says about a method: how alike its maps stay, and whether that is too much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Check: TypeAlias = Literal["cascading", "independent", "smooth", "random_logit", "labels"]
CHECKS: tuple[Check, ...] = ("cascading", "independent", "smooth", "random_logit", "labels")

MAX_CORRELATION = 0.2
"""A mean rank correlation with the network's own map below this is none (Adebayo's Grad-CAM: 0.06, guided
backpropagation 0.47 on ResNet-18, by Hedström et al.)."""

MAX_UPPER_HALF = 0.5
"""A map that is still more alike than this with its network's upper half drawn anew does not look at what decides:
guided backpropagation is (0.6 to 0.9 on ResNet-18), the gradient (0.2) and Grad-CAM (0.0) are not."""

MAX_OTHER_CLASS = 0.8
"""A mean rank correlation between the maps of different classes above this means that the class hardly matters."""


@dataclass(frozen=True)
class Step:
    """How alike the maps of a picture are before and after one step.

    check     which of the checks
    stage     what was drawn anew last; or the class, of random_logit
    share     of the stages drawn anew so far, 0 to 1
    seed      of what was drawn
    spearman  rank correlation of the signed maps; `absolute` of their absolute values
    ssim      structural similarity of the maps on the network's input
    hog       correlation of their histograms of oriented gradients
    pair      rank correlation with the map of the *next* picture: what two maps have in common by chance
    """

    image: str
    method: str
    check: Check
    stage: str
    share: float
    seed: int
    spearman: float
    absolute: float
    ssim: float
    hog: float
    pair: float


@dataclass(frozen=True)
class SanityVerdict:
    """What a check says about a method.

    passed  whether the map notices; None where it cannot be told
    value   the mean rank correlation that decides, `error` its standard error; it fails what is above `limit` by more
            than twice that
    upper   of a cascade from the scores down: the same with the upper half drawn anew; it must stay below UPPER
    invalid of `n` comparisons so many could not be made: a map was the same everywhere
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
        """In words, with its numbers."""
        if self.passed is None:
            return f"cannot tell: no map of {self.n} could be compared"
        word = "passes" if self.passed else "FAILS"
        half = (
            ""
            if self.upper is None
            else f", {self.upper:.2f} with the upper half drawn anew (below {MAX_UPPER_HALF:g})"
        )
        return f"{word}: rank correlation {self.value:.2f} ± {self.error:.2f} (below {self.limit:.2f} passes){half}"

    def __str__(self) -> str:
        return f"{self.method}, {self.check}: {self.text}"


def judge_check(method: str, check: Check, steps: Sequence[Step]) -> SanityVerdict:
    """Of a cascade the last step decides, of independent stages the one that changes least, else all of them."""
    if check in ("cascading", "smooth"):
        deciding = [s for s in steps if s.share == 1]
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
    value, error = nanmean(correlations), _standard_error(correlations)
    correlation = value if check == "random_logit" else abs(value)  # the opposite map is another one, for another class
    passed = correlation - 2 * error < limit and (upper is None or math.isnan(upper) or upper < MAX_UPPER_HALF)
    return SanityVerdict(method, check, passed, value, error, limit, upper, n, invalid)


def _upper_half_mean(steps: Sequence[Step]) -> float:
    """The mean correlation at the stage that is nearest to the middle of the network."""
    half = min({s.share for s in steps}, key=lambda share: abs(share - 0.5))
    return nanmean([s.spearman for s in steps if s.share == half])


def _standard_error(values: Sequence[float]) -> float:
    centre = nanmean(values)
    return math.sqrt(sum((v - centre) ** 2 for v in values) / max(1, len(values) - 1) / len(values))


def _pair_quantile(steps: Sequence[Step]) -> float:
    """Below which 95 % of the correlations of maps of *different* pictures lie; 1 where there is one picture only."""
    pairs = sorted(abs(s.pair) for s in steps if not math.isnan(s.pair))
    many = len({s.image for s in steps}) > 1
    return pairs[min(len(pairs) - 1, int(0.95 * len(pairs)))] if many and pairs else 1.0


def nanmean(values: Sequence[float]) -> float:
    """Of those that are numbers; NaN without any."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else float("nan")
