"""What was spent: counted in forwards of one picture, wherever the network runs.

A run of only the rest of the network counts as a whole one, so that what is counted is at least what was spent; runs
that only find out what the network is made of, once for all pictures, are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

FORWARDS_WITH_GRADIENT = 3.0
"""A forward and the way back to the pixels, in forwards: going back takes about twice as long."""


@dataclass
class Cost:
    """In forwards of one picture."""

    forwards: float = 0.0


_counters: ContextVar[tuple[Cost, ...]] = ContextVar("camlucida_cost", default=())


def add_cost(forwards: float) -> None:
    """Add to everything that is counting in this thread."""
    for cost in _counters.get():
        cost.forwards += forwards


@contextmanager
def track_cost() -> Iterator[Cost]:
    """While inside, what is spent is added to the value given."""
    cost = Cost()
    token = _counters.set((*_counters.get(), cost))
    try:
        yield cost
    finally:
        _counters.reset(token)
