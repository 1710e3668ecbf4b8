"""Random references: does any chain of them from a network lead the copy to the caller's modules?

`CAMLUCIDA_EXAMPLES=1000` tries more of them.
"""

from __future__ import annotations

import copy
import functools
import os
import types
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of, trace
from camlucida.errors import ModelError

RANDOM = settings(
    max_examples=int(os.environ.get("CAMLUCIDA_EXAMPLES", "20")),
    deadline=None,
    database=None,
    # Not `Phase.explain`: it runs an example that fails hundreds of times under a tracer, which takes minutes.
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Box:
    def __init__(self, value: Any) -> None:
        self.value = value


class Slot:
    __slots__ = ("__weakref__", "value")

    def __init__(self, value: Any) -> None:
        self.value = value


class Target(nn.Module):
    """In train mode everything in it would show that it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.inner = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(inplace=True))

    def run(self, x: Tensor) -> Tensor:
        normed: Tensor = self.inner(x)
        return normed


def as_closure(target: Any) -> Any:
    return lambda: target


Way = tuple[Callable[[Any], Any], Callable[[Any], Any]]
GLOBALS: list[Any] = []
WAYS: dict[str, Way] = {
    "closure": (as_closure, lambda held: held()),
    "default": (lambda target: lambda target=target: target, lambda held: held()),
    "keyword": (lambda target: lambda *, target=target: target, lambda held: held()),
    "list": (lambda target: [target], lambda held: held[0]),
    "tuple": (lambda target: (0, target), lambda held: held[1]),
    "dict": (lambda target: {"a": target}, lambda held: held["a"]),
    "deque": (lambda target: deque([target]), lambda held: held[0]),
    "object": (Box, lambda held: held.value),
    "slots": (Slot, lambda held: held.value),
    "namespace": (lambda target: types.SimpleNamespace(t=target), lambda held: held.t),
    "partial": (lambda target: functools.partial(lambda t: t, target), lambda held: held()),
    "method": (lambda target: types.MethodType(lambda t: t, Box(target)), lambda held: held().value),
    "array": (lambda target: _array(target), lambda held: held[0]),
    "function attribute": (lambda target: _attributed(target), lambda held: held.target),
    "weak": (lambda target: _weak(target), lambda held: held[0]().value),
    "iterator": (lambda target: iter([target]), lambda held: next(held)),
    "error": (lambda target: ValueError(target), lambda held: held.args[0]),
    "global": (lambda target: _number_in_globals(target), lambda number: GLOBALS[number]),
}


def _array(target: Any) -> Any:
    array = np.empty(1, dtype=object)
    array[0] = target
    return array


def _number_in_globals(target: Any) -> int:
    GLOBALS.append(target)
    return len(GLOBALS) - 1


def _attributed(target: Any) -> Any:
    def function() -> None:
        pass

    function.target = target  # type: ignore[attr-defined]
    return function


def _weak(target: Any) -> Any:
    box = Box(target)
    return weakref.ref(box), box


ENDS: dict[str, Way] = {
    "a layer": (lambda net: net.inner, lambda held: held),
    "a layer of no network": (lambda net: copy.deepcopy(net.inner), lambda held: held),
    "a method": (lambda net: net.run, lambda held: held),
    "the network": (lambda net: net, lambda held: held.run),
    "layers by themselves": (
        lambda net: list(net.inner),
        lambda held: lambda x: functools.reduce(lambda y, layer: layer(y), held, x),
    ),
}


@RANDOM
@given(
    ways=st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=4),
    end=st.sampled_from(sorted(ENDS)),
    path=st.sampled_from(["", "stem", "inner", "inner.0"]),
    in_closure=st.booleans(),
)
def test_a_random_reference_leaves_the_callers_bytes_alone(
    every_tensor: Any, evaluated: Any, ways: list[str], end: str, path: str, in_closure: bool
) -> None:
    torch.manual_seed(0)
    network = Target().train()
    held, last = ENDS[end][0](network), ENDS[end][1]
    GLOBALS.clear()
    for way in ways:
        held = WAYS[way][0](held)
    owner: Any = network.get_submodule(path)
    owner._held = None if in_closure else held

    def reached(own: Any) -> Any:
        for way in reversed(ways):
            own = WAYS[way][1](own)
        return last(own)

    def forward(self: Any, x: Tensor) -> Tensor:
        own = held if in_closure else self.get_submodule(path)._held
        logits: Tensor = self.fc(reached(own)(self.stem(x)).mean((2, 3)))
        return logits

    network.forward = types.MethodType(forward, network)  # type: ignore[method-assign]
    images = torch.randn(3, 3, 6, 6)
    once = {"iterator"} & set(ways)  # the network itself cannot be asked twice
    expected = None if once else evaluated(network, images)
    before, numbers = every_tensor([network, GLOBALS]), torch.get_rng_state()
    try:
        output = trace(copy_of(network), images, []).output
        attribute(network, images, target=0, layer="stem")
    except ModelError:
        assert {"global", "iterator", "error"} & set(ways), "only these cannot be followed"
    else:
        assert expected is None or torch.equal(output, expected)
    assert every_tensor([network, GLOBALS]) == before
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(module.training for module in network.modules())
