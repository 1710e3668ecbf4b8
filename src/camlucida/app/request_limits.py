"""Limits of what one request may ask for, so that none occupies a worker or the memory indefinitely.

The command line has no such limits, because it serves a single user. In the app others wait, so options that determine
how often the network runs, or how much memory is used, are bounded here and nowhere else. Every route that accepts
methods, layers or targets from a client calls `check` before it calls the library, or `check_method` if it computes
one map at a time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from camlucida.attribution.output_reader import output_reader
from camlucida.engine import copy_of, resolve
from camlucida.errors import CamlucidaError, MethodError
from camlucida.methods import Combined, Method, find
from camlucida.target_specs import parse_top_k

if TYPE_CHECKING:
    from camlucida.app.model_entry import Served

MAX_NAME_LENGTH = 200
"""Maximum length of the text of a method, as of every name."""
MAX_COMBINATORS = 4
"""Maximum number of nested combinators of one method."""
MAX_RUNS = 40_000
"""Maximum number of network runs for one map: RISE with 4,000 masks on ten views."""
MAX_MAPS = 144
"""Maximum number of maps in one response."""

MIN_OPTIONS: dict[str, float] = {"cells": 1, "segments": 1, "components": 1, "stride": 0.02, "window": 0.02, "seed": 0}
"""Minimum values of options; smaller ones are invalid or do not terminate, such as windows of zero pixels."""
MAX_OPTIONS: dict[str, float] = {"cells": 32, "segments": 400, "components": 512, "seed": 2**31 - 1}
"""Maximum values of options; `n` and `steps` are limited by `max_count`, all others by MAX_NUMBER."""
MAX_NUMBER = 1e6
LISTED = {"factors": (8, 0.25, 2.0), "areas": (8, 0.0, 1.0)}
"""List-valued options: maximum length, minimum, maximum. An image at a scale of 100 would not fit into memory."""
VIEWS = {"flips": 2, "crops": 6}
"""Number of views of combinators that have no option for it."""


def check(
    served: Served,
    methods: Sequence[str],
    *,
    options: Mapping[str, Any] | None = None,
    layers: Sequence[str | int] = (),
    targets: Sequence[str | int] = (),
) -> None:
    """Check a request against the limits.

    Args:
        served: The model.
        methods: Methods by name, optionally with combinators.
        options: Options of the methods.
        layers: Layers as requested.
        targets: Targets as requested.

    Raises:
        MethodError: If the request exceeds a limit; names the limit.
    """
    side = max(served.model.preprocessing.size)
    checked_methods = [check_method(text, side=side) for text in methods]
    check_options(checked_methods, options or {}, side=side)
    maps_per_target = sum(
        1 if method.fuses_layers or not method.needs_layer else _layers(served, layers) for method in checked_methods
    )
    maps = maps_per_target * _targets(targets)
    if maps > MAX_MAPS:
        raise MethodError(
            f"{maps:,} maps were requested; the app computes at most {MAX_MAPS} at once. Select fewer methods, "
            "layers or classes."
        )


def check_method(text: str, *, side: int = 224) -> Method | Combined:
    """Return the method, by name or with combinators, if it is within the limits.

    Args:
        text: The method as requested.
        side: The longer side of the network input, in pixels.

    Raises:
        MethodError: If there is no such method, or it exceeds a limit.
    """
    if len(text) > MAX_NAME_LENGTH:
        raise MethodError(f"the method has {len(text)} characters; the app accepts at most {MAX_NAME_LENGTH}.")
    method_ = find(text)
    inner, runs, depth = method_, 1.0, 0
    while isinstance(inner, Combined):
        depth += 1
        if depth > MAX_COMBINATORS:
            raise MethodError(f"the method has too many combinators; the app accepts at most {MAX_COMBINATORS}.")
        for name, value in inner.settings.items():
            check_number(inner.combinator.name, name, value, inner.combinator.options.get(name))
        runs *= _views(inner)
        inner = inner.inner
    default = find(inner.name.partition("(")[0]).options
    for name, value in inner.options.items():
        check_number(inner.name, name, value, default.get(name))
    _check_runs(method_.name, runs * runs_of(inner.options, side))
    return method_


def check_options(methods: Sequence[Method | Combined], options: Mapping[str, Any], *, side: int = 224) -> None:
    """Check the options that are given separately from the methods; unknown names are left to the library.

    Raises:
        MethodError: If an option exceeds a limit.
    """
    for method in methods:
        own = {name: value for name, value in options.items() if name in method.options}
        for name, value in own.items():
            check_number(method.name, name, value, method.options[name])
        if isinstance(method, Method):
            _check_runs(method.name, runs_of({**method.options, **own}, side))


def check_number(of: str, name: str, value: Any, default: Any) -> None:
    """Check one option; values that are not numbers are left to the library.

    Raises:
        MethodError: If the value exceeds a limit.
    """
    if isinstance(value, list | tuple):
        n, low, high = LISTED.get(name, (8, -MAX_NUMBER, MAX_NUMBER))
        if len(value) > n:
            raise MethodError(f"{of}: {name} has {len(value)} values; the app accepts at most {n}.")
        for item in value:
            _check_between(of, name, item, low, high)
    elif name in ("n", "steps"):
        _check_between(of, name, value, 1, max_count(name, default))
    else:
        _check_between(of, name, value, MIN_OPTIONS.get(name, -MAX_NUMBER), MAX_OPTIONS.get(name, MAX_NUMBER))


def max_count(name: str, default: Any) -> int:
    """Return the maximum of an option that sets the number of runs: four times its default, and at least 500 or 100."""
    minimum = 500 if name == "steps" else 100
    return max(minimum, 4 * default) if isinstance(default, int) else minimum


def _check_between(of: str, name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not low <= value <= high:  # also rejects NaN
        shown = f"{value:g}" if isinstance(value, float) else str(value) if abs(value) < 1e18 else "a huge number"
        raise MethodError(f"{of}: {name} is {shown}; the app accepts {low:,g} to {high:,g}.")


def _check_runs(of: str, runs: float) -> None:
    if runs > MAX_RUNS:
        raise MethodError(
            f"{of} would run the network {runs:,.0f} times; the app allows at most {MAX_RUNS:,}. Reduce its options."
        )


def runs_of(options: Mapping[str, Any], side: int = 224) -> float:
    """Return how often a method runs the network, as far as its options determine it."""
    counts = [options.get(name) for name in ("n", "steps")]
    runs = math.prod(max(1.0, float(count)) for count in counts if isinstance(count, int | float))
    stride = options.get("stride")
    if isinstance(stride, int | float) and stride > 0:
        runs *= max(1.0, 1 / stride if stride < 1 else side / stride) ** 2
    areas = options.get("areas")
    return runs * (len(areas) if isinstance(areas, list | tuple) else 1)


def _views(combined: Combined) -> float:
    """Return how often a combinator evaluates its inner method."""
    name, settings = combined.combinator.name, combined.settings
    if name == "contrast":
        return 1.0 + runs_of(settings)
    factors = settings.get("factors")
    return runs_of(settings) * (len(factors) if isinstance(factors, list | tuple) else 1) * VIEWS.get(name, 1)


def _layers(served: Served, layers: Sequence[str | int]) -> int:
    """Return the number of layers; unknown names count as one, and the library reports them."""
    count = 0
    for layer in layers or [""]:
        if isinstance(layer, str) and (layer == "all" or re.search(r"[*?\[]", layer)):
            try:
                copy = copy_of(served.probed.network)
                read = output_reader(served.probed, copy, served.example)
                count += len(resolve(copy, served.example, [layer], read))
            except CamlucidaError:
                count += 1
        else:
            count += 1
    return count


def _targets(targets: Sequence[str | int]) -> int:
    return sum(parse_top_k(target) or 1 for target in targets) if targets else 1
