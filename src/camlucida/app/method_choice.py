"""Methods in the app: which are offered, and which one explains a model if a request names none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from camlucida.app.model_entry import Served
from camlucida.attribution.method_choice import applicable, default_method


def offered(served: Iterable[Served]) -> frozenset[str]:
    """Return the names of the methods that run on at least one model."""
    return frozenset(name for one in served for name in applicable(one.model.network))


def method_for(served: Served, name: str | None) -> str:
    """Return a requested method, or the default method of a model for None."""
    return default_method(served.model) if name is None else name


def methods_for(served: Served, names: Sequence[str]) -> list[str]:
    """Return requested methods without duplicates, or the default method of a model if there are none."""
    return list(dict.fromkeys(names)) or [method_for(served, None)]
