"""Checks of layouts that outlive the process: the seam between `geometry` and whatever stores them.

The engine knows neither files nor hashes of weights. Whoever does registers a store with `use_store`; without one,
every process measures again. A stored check is used only for the same run: the same module calls with the same shapes
and inferred layouts, in the same order, on an image of the same size. It is used only if its layout is one of those
that the measurement could have confirmed, so that a damaged store cannot introduce a reading of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

from camlucida.engine.call_profile import CallProfile, ModuleCall
from camlucida.engine.layer_checks import LayoutCheck
from camlucida.engine.layout import alternatives
from camlucida.engine.network_copy import NetworkCopy

RUN_LETTERS = 16
"""Number of hexadecimal digits that identify a run."""


class CheckStore(Protocol):
    """Stores checks of layouts by network and run."""

    def load(self, copy: NetworkCopy, run: str) -> Mapping[str, LayoutCheck]:
        """Return the stored checks of a run by call, as `call_key` names it; empty if there are none."""

    def save(self, copy: NetworkCopy, run: str, checks: Mapping[str, LayoutCheck]) -> None:
        """Add checks to those that are stored."""


_stores: list[CheckStore] = []


def use_store(store: CheckStore | None) -> None:
    """Use a store in this process from now on; None for none."""
    _stores[:] = [] if store is None else [store]


def load_checks(copy: NetworkCopy, profile: CallProfile, image: tuple[int, ...]) -> dict[int, LayoutCheck]:
    """Return the stored checks of the network on this run, by the position of the call.

    Args:
        copy: The network copy.
        profile: The profile of the run, with the layouts as they were inferred where nothing was checked yet.
        image: (height, width) of the image.
    """
    if not _stores:
        return {}
    stored = _stores[0].load(copy, run_digest(profile, image))
    checks: dict[int, LayoutCheck] = {}
    for module_call in profile.module_calls:
        check = stored.get(call_key(module_call))
        if check is not None and module_call.needs_check and _is_possible(check, module_call, profile):
            checks[module_call.position] = check
    return checks


def save_checks(
    copy: NetworkCopy, profile: CallProfile, image: tuple[int, ...], checks: Mapping[int, LayoutCheck]
) -> None:
    """Store the checks of calls, by position, that were measured."""
    if _stores and checks:
        by_call = {call_key(profile.module_calls[position]): check for position, check in checks.items()}
        _stores[0].save(copy, run_digest(profile, image), by_call)


def call_key(module_call: ModuleCall) -> str:
    """Return the name of a call in a store."""
    return f"{module_call.name}#{module_call.call}"


def run_digest(profile: CallProfile, image: tuple[int, ...]) -> str:
    """Return a digest of the image size and of the names, types and output shapes of all module calls."""
    digest = hashlib.sha256(repr(image).encode())
    for call in profile.module_calls:
        digest.update(f"{call_key(call)} {type(call.module).__qualname__} {call.shape} {call.needs_check}\0".encode())
    return digest.hexdigest()[:RUN_LETTERS]


def _is_possible(check: LayoutCheck, module_call: ModuleCall, profile: CallProfile) -> bool:
    """Return whether a measurement of this call could have returned the layout of a stored check."""
    layout, shape = module_call.layout, module_call.shape
    if layout is None or shape is None:
        return False
    return check.layout is None or check.layout == layout or check.layout in alternatives(layout, shape, profile.grids)
