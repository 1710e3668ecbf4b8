"""Which metrics can be believed: those that put the controls in the order that is known to be right.

Only where it is exactly known where the object is. A metric that cannot keep the order is printed as untrusted, for
this model and these pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.statistics import DRAWS, Floats, Interval, percentiles
from camlucida.metrics import Metric

TRUTH, OPPOSITE = "oracle", "inverted_oracle"
BELOW_TRUTH = ("blurred_random", "uniform", "centre", "fake_cam", OPPOSITE)
"""Must be worse than the truth. The plain random map is not here: as salt and pepper it fools a network's input."""
ABOVE_OPPOSITE = ("uniform", "centre")
"""Must not be worse than the opposite of the truth. As bad they may be: many metrics have a floor for chance, too."""
SHARE = 0.95
"""In so many draws of pictures the truth must be the better one, and the opposite must not be."""
BOXES = frozenset({"boxes", "boxes_seen"})
UNORDERED = frozenset({"centre_offset"})
"""Where the opposite of the truth is no extreme: its centre is near the picture's."""


def untrusted(found: Evaluation, *, draws: int = DRAWS, seed: int = 0) -> Mapping[str, str]:
    """Metric -> why it cannot be trusted here: an order of controls that it does not keep in 95 % of the draws.

    Nothing on pictures whose truth is not exact, or without controls, where nothing can be said. Metrics of robustness
    and complexity have no order to keep, nor has what only describes.
    """
    if not found.plan.get("exact") or TRUTH not in found.controls:
        return {}
    reasons: dict[str, str] = {}
    for name, preset in found.presets.items():
        if found.values[name].better == "neither" or not _judged(preset.metric):
            continue
        failed = list(_broken(found, name, preset.metric, draws, seed))
        if failed:
            reasons[name] = _sentence(failed)
    return reasons


def importance(dependent: Evaluation, control: Evaluation, method: str, metric: str = "energy") -> Interval:
    """How much more of the map lies on a mark where it has a meaning than where it has none, with its 95 % interval.

    dependent   an evaluation of `exact:watermark`
    control     one of `exact:watermark_control`: marks are shown for being conspicuous, too, and that much is no merit
    """
    first, second = (found.drawn(metric, method, seed=seed) for seed, found in enumerate((dependent, control)))
    difference = dependent.summary(metric, method).value - control.summary(metric, method).value
    return percentiles(difference, first - second)


def _judged(metric: Metric) -> bool:
    if metric.group == "ground_truth":
        return "effects" not in metric.needs
    return metric.group in ("localisation", "faithfulness")


def _broken(found: Evaluation, name: str, metric: Metric, draws: int, seed: int) -> Iterator[tuple[str, str]]:
    """What is wrong, beside which control."""
    sign = -1.0 if found.values[name].better == "low" else 1.0

    def drawn(control: str) -> Floats:
        return sign * found.drawn(name, control, draws=draws, seed=seed)

    truth = drawn(TRUTH)
    for control in BELOW_TRUTH:
        if _known(found, name, control) and np.mean(truth > drawn(control)) < SHARE:
            yield "the truth is not told from", control
    if BOXES & set(metric.needs) or metric.name in UNORDERED or not _known(found, name, OPPOSITE):
        return  # the box around everything but the object is the whole picture
    opposite = drawn(OPPOSITE)
    for control in ABOVE_OPPOSITE:
        # A map that cannot be judged counts as worst by agreement, and nothing can be worse than that.
        judged = _known(found, name, control) and bool(found.cells(name, control).valid.all())
        if judged and np.mean(opposite > drawn(control)) >= SHARE:
            yield "the opposite of the truth is better than", control


def _known(found: Evaluation, name: str, control: str) -> bool:
    return control in found.controls and bool(len(found.cells(name, control).values))


def _sentence(failed: Sequence[tuple[str, str]]) -> str:
    groups = groupby(failed, key=lambda failure: failure[0])
    return "; ".join(f"{what} {', '.join(control for _, control in those)}" for what, those in groups)
