"""Random networks: is any change between two calls seen, and does any reference reach the caller's modules?

`CAMLUCIDA_EXAMPLES=1000` tries more of them.
"""

from __future__ import annotations

import copy
import functools
import os
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from camlucida.attribution import attribute
from camlucida.engine import copy_of, trace
from camlucida.errors import ModelError

EXAMPLES = int(os.environ.get("CAMLUCIDA_EXAMPLES", "20"))
RANDOM = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
Site = Callable[[], None]


class Box:
    def __init__(self, value: Any) -> None:
        self.value = value


class Slot:
    __slots__ = ("__weakref__", "value")

    def __init__(self, value: Any) -> None:
        self.value = value


class Scale(nn.Module):
    """A setting, a parameter, a buffer and a loose tensor."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._factor, self.bias = value, nn.Parameter(torch.tensor(value))
        self.register_buffer("shift", torch.tensor([value]))
        self.loose = torch.tensor([value])

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x * self._factor + self.bias + self.shift + self.loose
        return found


LEAVES: dict[str, Callable[[float], Any]] = {
    "number": lambda value: value,
    "tensor": lambda value: torch.tensor([value]),
    "parameter": lambda value: nn.Parameter(torch.tensor([value])),
    "array": lambda value: np.array([value]),
    "module": Scale,
}
CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "dict": lambda parts: {f"k{i}": part for i, part in enumerate(parts)},
    "ordered": lambda parts: OrderedDict(enumerate(parts)),
    "deque": deque,
    "object": lambda parts: Box(parts[0]),
    "slots": lambda parts: Slot(parts[0]),
    "namespace": lambda parts: types.SimpleNamespace(value=parts[0]),
    "partial": lambda parts: functools.partial(max, parts[0]),
}
numbers = st.floats(-2, 2, allow_nan=False).map(lambda value: round(value, 3))
leaves = st.tuples(st.sampled_from(sorted(LEAVES)), numbers)
trees = st.recursive(
    leaves,
    lambda inner: st.tuples(st.sampled_from(sorted(CONTAINERS)), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=6,
)


def built(tree: Any) -> Any:
    kind, content = tree
    return LEAVES[kind](content) if kind in LEAVES else CONTAINERS[kind]([built(part) for part in content])


def parts_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | deque):
        return list(value)
    if isinstance(value, functools.partial):
        return list(value.args)
    return [value.value]


def read(value: Any) -> Any:
    """One number of all that is in a tree, and of its order."""
    if isinstance(value, nn.Module):
        return value(torch.ones(1))
    if isinstance(value, int | float | Tensor):
        return value
    if isinstance(value, np.ndarray):
        return float(value.sum())
    total: Any = 0.1
    for i, part in enumerate(parts_of(value)):
        total = total + (i + 1) * torch.tanh(torch.as_tensor(read(part)))
    return total


class Random(nn.Module):
    def __init__(self, activation: str, trees: list[Any], places: list[str]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), getattr(nn, activation)())
        self.fc = nn.Linear(4, 3)
        self._places = places
        for i, (tree, place) in enumerate(zip(trees, places, strict=True)):
            owner = self.get_submodule(place)
            setattr(owner, f"_extra{i}", built(tree))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        for i, place in enumerate(self._places):
            x = x * (1 + 0.1 * read(getattr(self.get_submodule(place), f"_extra{i}")))
        found: Tensor = self.fc(x.mean((2, 3)))
        return found


networks = st.lists(st.tuples(trees, st.sampled_from(["", "body", "body.0", "fc"])), min_size=1, max_size=3)


def sites(value: Any, new: Any) -> Iterator[Site]:
    """Every way to change something in a tree."""
    if isinstance(value, Tensor):
        yield lambda: value.data.add_(0.5)
        yield lambda: value.detach().numpy().__iadd__(0.25)
        if not isinstance(value, nn.Parameter):
            yield lambda: value.mul_(-1.5)
    elif isinstance(value, np.ndarray):
        yield lambda: value.__iadd__(0.5)
    elif isinstance(value, Scale):
        yield lambda: setattr(value, "_factor", value._factor + 0.5)
        yield lambda: setattr(value, "loose", torch.tensor([0.3]))
        for tensor in (value.bias, value.shift, value.loose):
            yield from sites(tensor, new)
        yield lambda: value.register_forward_hook(lambda module, args, output: output * 1.5) and None
    elif isinstance(value, dict):
        for key in list(value):
            yield functools.partial(value.__setitem__, key, new)
            yield from sites(value[key], new)
        yield functools.partial(value.__setitem__, "new", new)
        yield lambda: value.pop(next(iter(value)), None) and None
        yield lambda: value.update({key: value.pop(key) for key in list(value)[:1]})
    elif isinstance(value, list | deque):
        for i in range(len(value)):
            yield functools.partial(value.__setitem__, i, new)
            yield from sites(value[i], new)
        yield functools.partial(value.append, new)
        yield value.reverse
        yield value.clear
    elif isinstance(value, tuple | functools.partial):
        for part in parts_of(value):
            yield from sites(part, new)
    elif not isinstance(value, int | float):
        yield lambda: setattr(value, "value", new)
        yield from sites(value.value, new)


def all_sites(network: Any, new: Any) -> list[Site]:
    conv, norm = network.body[0], network.body[1]
    places: list[Site] = [
        lambda: setattr(conv, "padding", (1, 1)),
        lambda: setattr(norm, "eps", norm.eps + 0.1),
        lambda: norm.running_mean.data.add_(0.5) and None,
        lambda: norm.running_var.numpy().__imul__(2),
        lambda: conv.weight.data.mul_(-1) and None,
        lambda: setattr(network, "fc", nn.Linear(4, 3)),
        lambda: network.body.append(nn.Tanh()) and None,
        lambda: network.body[2].register_forward_pre_hook(lambda module, args: (args[0] * 2,)) and None,
        lambda: network.train(not network.training) and None,
    ]
    for i, place in enumerate(network._places):
        owner = network.get_submodule(place)
        places += sites(getattr(owner, f"_extra{i}"), new)
        places.append(functools.partial(setattr, owner, f"_extra{i}", new))
    return places


@RANDOM
@given(data=st.data(), parts=networks, activation=st.sampled_from(["ReLU", "GELU", "Hardswish"]))
def test_a_random_change_is_explained_as_by_a_fresh_copy(data: Any, parts: list[Any], activation: str) -> None:
    torch.manual_seed(0)
    network = Random(activation, [tree for tree, _ in parts], [place for _, place in parts])
    images = torch.randn(2, 3, 6, 6)
    _maps(network, images)
    for _ in range(data.draw(st.integers(1, 2))):
        new = built(data.draw(leaves))
        places = all_sites(network, new)
        places[data.draw(st.integers(0, len(places) - 1))]()
        assert torch.equal(_maps(network, images), _maps(copy.deepcopy(network), images))


def _maps(network: nn.Module, images: Tensor) -> Tensor:
    found = attribute(network, images, target=1, layer="body.0", signed=True)
    assert isinstance(found, Tensor)
    return found


class Target(nn.Module):
    """In train mode everything in it would show that it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.inner = nn.Sequential(nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(inplace=True))

    def run(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x)
        return found


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
    "global": (lambda target: GLOBALS.append(target), lambda held: GLOBALS[-1]),
}


def _array(target: Any) -> Any:
    made = np.empty(1, dtype=object)
    made[0] = target
    return made


def _attributed(target: Any) -> Any:
    def function() -> None:
        pass

    function.target = target  # type: ignore[attr-defined]
    return function


def _weak(target: Any) -> Any:
    box = Box(target)
    return weakref.ref(box), box


ENDS: dict[str, Way] = {
    "a layer": (lambda net: net.inner, lambda found: found),
    "a layer of no network": (lambda net: copy.deepcopy(net.inner), lambda found: found),
    "a method": (lambda net: net.run, lambda found: found),
    "the network": (lambda net: net, lambda found: found.run),
    "layers by themselves": (
        lambda net: list(net.inner),
        lambda found: lambda x: functools.reduce(lambda y, layer: layer(y), found, x),
    ),
}


@RANDOM
@given(
    ways=st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=4),
    end=st.sampled_from(sorted(ENDS)),
    place=st.sampled_from(["", "stem", "inner", "inner.0"]),
    in_closure=st.booleans(),
)
def test_a_random_reference_leaves_the_callers_bytes_alone(
    every_tensor: Any, evaluated: Any, ways: list[str], end: str, place: str, in_closure: bool
) -> None:
    torch.manual_seed(0)
    network = Target().train()
    held, last = ENDS[end][0](network), ENDS[end][1]
    GLOBALS.clear()
    for way in ways:
        held = WAYS[way][0](held)
    owner: Any = network.get_submodule(place)
    owner._held = None if in_closure else held

    def reached(own: Any) -> Any:
        for way in reversed(ways):
            own = WAYS[way][1](own)
        return last(own)

    def forward(self: Any, x: Tensor) -> Tensor:
        own = held if in_closure else self.get_submodule(place)._held
        found: Tensor = self.fc(reached(own)(self.stem(x)).mean((2, 3)))
        return found

    network.forward = types.MethodType(forward, network)  # type: ignore[method-assign]
    images = torch.randn(3, 3, 6, 6)
    once = {"iterator"} & set(ways)  # the network itself cannot be asked twice
    expected = None if once else evaluated(network, images)
    before, numbers = every_tensor([network, GLOBALS]), torch.get_rng_state()
    try:
        found = trace(copy_of(network), images, []).output
        attribute(network, images, target=0, layer="stem")
    except ModelError:
        assert {"global", "iterator", "error"} & set(ways), "only these cannot be followed"
    else:
        assert expected is None or torch.equal(found, expected)
    assert every_tensor([network, GLOBALS]) == before
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(module.training for module in network.modules())
