"""The learning rate at each step: a function of nothing but the step, so that there is no state to lose."""

from __future__ import annotations

import math

from camlucida.errors import DataError


def rate(step: int, steps: int, highest: float, schedule: str, warmup: int = 0) -> float:
    """The learning rate at a step.

    step      0, 1, …, steps - 1
    schedule  constant; cosine, from the highest to zero; step, a tenth after each third
    warmup    steps in which it grows from nothing; the schedule is that of the steps that follow
    """
    if step < warmup:
        return highest * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    if schedule == "constant":
        return highest
    if schedule == "cosine":
        return highest * (1 + math.cos(math.pi * done)) / 2
    if schedule == "step":
        return float(highest * 0.1 ** min(int(3 * done + 1e-9), 2))
    raise DataError(f"no schedule {schedule!r}.")
