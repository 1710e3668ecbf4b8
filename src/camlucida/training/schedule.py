"""The learning rate at each step: a function of nothing but the step, so that there is no state to lose."""

from __future__ import annotations

import math

from camlucida.errors import DataError


def learning_rate(step: int, steps: int, max_lr: float, schedule: str, warmup: int = 0) -> float:
    """The learning rate at a step.

    step      0, 1, …, steps - 1
    schedule  constant; cosine, from the highest to zero; step, a tenth after each third
    warmup    steps in which it grows from nothing; the schedule is that of the steps that follow
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
