"""Timing that a shared machine cannot spoil: all candidates in one process, in turns, as a ratio to a baseline.

A round runs A B C … C B A; every candidate's figure is its smallest over all rounds, divided by the baseline's
smallest. CPU time (user + system, all threads) measures work and hardly moves when others use the machine; wall
time is printed beside it and is the one to quote when the machine was quiet.
"""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Timing:
    """Smallest seconds over all rounds."""

    cpu: float
    wall: float


def timed(candidates: Mapping[str, Callable[[], Any]], *, rounds: int) -> dict[str, Timing]:
    """Run all candidates in turns, forwards and backwards, after one warm-up each."""
    for run in candidates.values():
        run()
    seen: dict[str, list[Timing]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name in [*candidates, *reversed(candidates)]:
            cpu, wall = time.process_time(), time.perf_counter()
            candidates[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seen[name].append(Timing(time.process_time() - cpu, time.perf_counter() - wall))
    return {name: Timing(min(t.cpu for t in ts), min(t.wall for t in ts)) for name, ts in seen.items()}


def ratios(timings: Mapping[str, Timing], baseline: str) -> dict[str, dict[str, float]]:
    """Every candidate's CPU and wall time in units of the baseline's."""
    base = timings[baseline]
    return {
        name: {"cpu": round(t.cpu / base.cpu, 3), "wall": round(t.wall / base.wall, 3)} for name, t in timings.items()
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    with open("/proc/cpuinfo") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    with open("/proc/loadavg") as load:
        average = load.read().split()[0]
    return {
        "commit": commit.stdout.strip() + ("+" if dirty.stdout.strip() else ""),
        "cpu": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "card": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": float(average),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
