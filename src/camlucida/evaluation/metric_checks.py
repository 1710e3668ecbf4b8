"""Which metrics can be believed: those that put the controls in the order that is known to be right.

Only where it is exactly known where the object is. A metric that cannot keep the order is printed as untrusted, for
this model and these pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.statistics import N_BOOTSTRAP, Floats, Interval, percentile_interval
from camlucida.metrics import Metric

ORACLE, INVERTED_ORACLE = "oracle", "inverted_oracle"
WORSE_THAN_ORACLE = ("blurred_random", "uniform", "centre", "fake_cam", INVERTED_ORACLE)
"""Must be worse than the truth. The plain random map is not here: as salt and pepper it fools a network's input."""
NOT_WORSE_THAN_INVERTED = ("uniform", "centre")
"""Must not be worse than the opposite of the truth. As bad they may be: many metrics have a floor for chance, too."""
REQUIRED_FRACTION = 0.95
"""In so many draws of pictures the truth must be the better one, and the opposite must not be."""
BOX_INPUTS = frozenset({"boxes", "boxes_seen"})
WITHOUT_WORST_MAP = frozenset({"centre_offset"})
"""Where the opposite of the truth is no extreme: its centre is near the picture's."""


def untrusted(evaluation: Evaluation, *, draws: int = N_BOOTSTRAP, seed: int = 0) -> Mapping[str, str]:
    """Metric -> why it cannot be trusted here: an order of controls that it does not keep in 95 % of the draws.

    Nothing on pictures whose truth is not exact, or without controls, where nothing can be said. Metrics of robustness
    and complexity have no order to keep, nor has what only describes.
    """
    if not evaluation.plan.get("exact") or ORACLE not in evaluation.controls:
        return {}
    reasons: dict[str, str] = {}
    for name, preset in evaluation.presets.items():
        if evaluation.values[name].better == "neither" or not _has_known_order(preset.metric):
            continue
        violations = list(_violations(evaluation, name, preset.metric, draws, seed))
        if violations:
            reasons[name] = _format_violations(violations)
    return reasons


def mark_importance(dependent: Evaluation, control: Evaluation, method: str, metric: str = "energy") -> Interval:
    """How much more of the map lies on a mark where it has a meaning than where it has none, with its 95 % interval.

    dependent   an evaluation of `exact:watermark`
    control     one of `exact:watermark_control`: marks are shown for being conspicuous, too, and that much is no merit
    """
    first, second = (run.bootstrap_values(metric, method, seed=seed) for seed, run in enumerate((dependent, control)))
    difference = dependent.summary(metric, method).value - control.summary(metric, method).value
    return percentile_interval(difference, first - second)


def _has_known_order(metric: Metric) -> bool:
    if metric.group == "ground_truth":
        return "part_score_drops" not in metric.needs
    return metric.group in ("localisation", "faithfulness")


def _violations(evaluation: Evaluation, name: str, metric: Metric, draws: int, seed: int) -> Iterator[tuple[str, str]]:
    """What is wrong, beside which control."""
    sign = -1.0 if evaluation.values[name].better == "low" else 1.0

    def control_values(control: str) -> Floats:
        return sign * evaluation.bootstrap_values(name, control, draws=draws, seed=seed)

    oracle = control_values(ORACLE)
    for control in WORSE_THAN_ORACLE:
        if _is_measured(evaluation, name, control) and np.mean(oracle > control_values(control)) < REQUIRED_FRACTION:
            yield "the truth is not told from", control
    if (
        BOX_INPUTS & set(metric.needs)
        or metric.name in WITHOUT_WORST_MAP
        or not _is_measured(evaluation, name, INVERTED_ORACLE)
    ):
        return  # the box around everything but the object is the whole picture
    inverted = control_values(INVERTED_ORACLE)
    for control in NOT_WORSE_THAN_INVERTED:
        # A map that cannot be judged counts as worst by agreement, and nothing can be worse than that.
        comparable = _is_measured(evaluation, name, control) and bool(evaluation.column(name, control).valid.all())
        if comparable and np.mean(inverted > control_values(control)) >= REQUIRED_FRACTION:
            yield "the opposite of the truth is better than", control


def _is_measured(evaluation: Evaluation, name: str, control: str) -> bool:
    return control in evaluation.controls and bool(len(evaluation.column(name, control).values))


def _format_violations(violations: Sequence[tuple[str, str]]) -> str:
    groups = groupby(violations, key=lambda failure: failure[0])
    return "; ".join(f"{problem} {', '.join(control for _, control in pairs)}" for problem, pairs in groups)
