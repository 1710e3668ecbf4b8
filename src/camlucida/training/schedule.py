"""Learning rate schedules as functions of the step only, without state."""

from __future__ import annotations

import math

from camlucida.errors import DataError


def learning_rate(step: int, steps: int, max_lr: float, schedule: str, warmup: int = 0) -> float:
    """Return the learning rate at a step.

    Args:
        step: The step: 0, 1, …, steps - 1.
        steps: The number of steps.
        max_lr: The highest learning rate.
        schedule: "constant", "cosine" (from `max_lr` to zero) or "step" (divided by 10 after each third).
        warmup: Number of steps in which the rate grows linearly from zero; the schedule applies to the remaining steps.
    """
    if step < warmup:
        return max_lr * (step + 1) / warmup
    progress = (step - warmup) / max(steps - warmup, 1)
    if schedule == "constant":
        return max_lr
    if schedule == "cosine":
        return max_lr * (1 + math.cos(math.pi * progress)) / 2
    if schedule == "step":
        return float(max_lr * 0.1 ** min(int(3 * progress + 1e-9), 2))
    raise DataError(f"no schedule {schedule!r}.")
