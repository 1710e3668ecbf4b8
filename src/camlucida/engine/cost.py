"""Cost accounting: counts forward passes of one image, wherever the network runs.

A run of only the suffix of the network counts as a whole one, so the count is an upper bound of the cost. Runs that
only inspect the structure of the network, once for all images, are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

FORWARDS_WITH_GRADIENT = 3.0
"""Cost of a forward and backward pass, in forward passes: the backward pass takes about twice as long."""


@dataclass
class Cost:
    """A counter of network evaluations.

    Attributes:
        forwards: Number of forward passes of one image; a fraction of a pass is possible.
    """

    forwards: float = 0.0


_counters: ContextVar[tuple[Cost, ...]] = ContextVar("camlucida_cost", default=())


def add_cost(forwards: float) -> None:
    """Add a number of forward passes to every counter that is active in this thread."""
    for cost in _counters.get():
        cost.forwards += forwards


@contextmanager
def track_cost() -> Iterator[Cost]:
    """Count the forward passes made inside the context; yields the counter."""
    cost = Cost()
    token = _counters.set((*_counters.get(), cost))
    try:
        yield cost
    finally:
        _counters.reset(token)
