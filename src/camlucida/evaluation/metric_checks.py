"""Checks of metrics: a trusted metric ranks the controls in the order that is known to be correct.

This requires exact ground truth. A metric that does not keep the order is reported as untrusted, for this model and
these images.
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
"""Controls that must score worse than the oracle; not `random`, whose adversarial noise can mislead the network."""
NOT_WORSE_THAN_INVERTED = ("uniform", "centre")
"""Controls that must not score worse than the inverted oracle; equal scores are allowed (many metrics have a floor)."""
REQUIRED_FRACTION = 0.95
"""Fraction of bootstrap resamples in which the order has to hold."""
BOX_INPUTS = frozenset({"boxes", "input_boxes"})
WITHOUT_WORST_MAP = frozenset({"centre_offset"})
"""Metrics for which the inverted oracle is not the worst map: its centre of mass is near that of the image."""


def untrusted(evaluation: Evaluation, *, draws: int = N_BOOTSTRAP, seed: int = 0) -> Mapping[str, str]:
    """Return the untrusted metrics with the reason: an order of controls that does not hold in 95 % of the resamples.

    The result is empty without exact ground truth or without controls. Metrics of robustness and complexity, and
    descriptive numbers, have no known order and are not checked.

    Args:
        evaluation: The evaluation.
        draws: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
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
    """Compute how much more a map highlights a watermark that is predictive of the class than one that is not.

    Watermarks are highlighted partly because they are conspicuous; the control measures that part.

    Args:
        dependent: An evaluation of `exact:watermark`.
        control: An evaluation of `exact:watermark_control`.
        method: Name of the method.
        metric: Name of the metric.

    Returns:
        The difference of both values with its 95 % interval.
    """
    first, second = (run.bootstrap_values(metric, method, seed=seed) for seed, run in enumerate((dependent, control)))
    difference = dependent.summary(metric, method).value - control.summary(metric, method).value
    n = min(run.summary(metric, method).n for run in (dependent, control))
    return percentile_interval(difference, first - second, n)


def _has_known_order(metric: Metric) -> bool:
    if metric.group == "ground_truth":
        return "part_score_drops" not in metric.needs
    return metric.group in ("localisation", "faithfulness")


def _violations(evaluation: Evaluation, name: str, metric: Metric, draws: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield (problem, control) for each violated order."""
    sign = -1.0 if evaluation.values[name].better == "low" else 1.0

    def control_values(control: str) -> Floats:
        return sign * evaluation.bootstrap_values(name, control, draws=draws, seed=seed)

    oracle = control_values(ORACLE)
    for control in WORSE_THAN_ORACLE:
        if _is_measured(evaluation, name, control) and np.mean(oracle > control_values(control)) < REQUIRED_FRACTION:
            yield "does not rank the oracle above", control
    if (
        BOX_INPUTS & set(metric.needs)
        or metric.name in WITHOUT_WORST_MAP
        or not _is_measured(evaluation, name, INVERTED_ORACLE)
    ):
        return  # the box around the background is the whole image
    inverted = control_values(INVERTED_ORACLE)
    for control in NOT_WORSE_THAN_INVERTED:
        # Unscorable maps receive the metric's worst value, so no map can score lower.
        comparable = _is_measured(evaluation, name, control) and bool(evaluation.column(name, control).valid.all())
        if comparable and np.mean(inverted > control_values(control)) >= REQUIRED_FRACTION:
            yield "ranks the inverted oracle above", control


def _is_measured(evaluation: Evaluation, name: str, control: str) -> bool:
    return control in evaluation.controls and bool(len(evaluation.column(name, control).values))


def _format_violations(violations: Sequence[tuple[str, str]]) -> str:
    groups = groupby(violations, key=lambda violation: violation[0])
    return "; ".join(f"{problem} {', '.join(control for _, control in pairs)}" for problem, pairs in groups)
