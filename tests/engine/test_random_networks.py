"""Random networks: is any change between two calls seen?

`CAMLUCIDA_EXAMPLES=1000` tries more of them.
"""

from __future__ import annotations

import copy
import functools
import os
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from camlucida.attribution.attribute import attribute
from camlucida.errors import LayerError

RANDOM = settings(
    max_examples=int(os.environ.get("CAMLUCIDA_EXAMPLES", "20")),
    deadline=None,
    database=None,
    # Not `Phase.explain`: it runs an example that fails hundreds of times under a tracer, which takes minutes.
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
Site = Callable[[], object]
"""One way to change a network in place."""


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
        scaled: Tensor = x * self._factor + self.bias + self.shift + self.loose
        return scaled


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
    """Return one number that depends on all that is in a tree, and on its order."""
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
    def __init__(self, activation: str, trees: list[Any], paths: list[str]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), getattr(nn, activation)())
        self.fc = nn.Linear(4, 3)
        self._paths = paths
        for i, (tree, path) in enumerate(zip(trees, paths, strict=True)):
            owner = self.get_submodule(path)
            setattr(owner, f"_extra{i}", built(tree))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        for i, path in enumerate(self._paths):
            x = x * (1 + 0.1 * read(getattr(self.get_submodule(path), f"_extra{i}")))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


networks = st.lists(st.tuples(trees, st.sampled_from(["", "body", "body.0", "body.1"])), min_size=1, max_size=3)


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
        yield lambda: value.register_forward_hook(lambda module, args, output: output * 1.5)
    elif isinstance(value, dict):
        for key in list(value):
            yield functools.partial(value.__setitem__, key, new)
            yield from sites(value[key], new)
        yield functools.partial(value.__setitem__, "new", new)
        yield lambda: value.pop(next(iter(value)), None)
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
    changes: list[Site] = [
        lambda: setattr(conv, "padding", (1, 1)),
        lambda: setattr(norm, "eps", norm.eps + 0.1),
        lambda: norm.running_mean.data.add_(0.5),
        lambda: norm.running_var.numpy().__imul__(2),
        lambda: conv.weight.data.mul_(-1),
        lambda: setattr(network, "fc", nn.Linear(4, 3)),
        lambda: network.body.append(nn.Tanh()),
        lambda: network.body[2].register_forward_pre_hook(lambda module, args: (args[0] * 2,)),
        lambda: network.train(not network.training),
    ]
    for i, path in enumerate(network._paths):
        owner = network.get_submodule(path)
        changes += sites(getattr(owner, f"_extra{i}"), new)
        changes.append(functools.partial(_replace, owner, f"_extra{i}", new))
    return changes


def _replace(owner: nn.Module, name: str, value: Any) -> None:
    delattr(owner, name)  # PyTorch lets nothing but a parameter take the place of a parameter
    setattr(owner, name, value)


@RANDOM
@given(data=st.data(), parts=networks, activation=st.sampled_from(["ReLU", "GELU", "Hardswish"]))
def test_a_random_change_is_explained_as_by_a_fresh_copy(data: Any, parts: list[Any], activation: str) -> None:
    torch.manual_seed(0)
    network = Random(activation, [tree for tree, _ in parts], [path for _, path in parts])
    images = torch.randn(2, 3, 6, 6)
    _maps(network, images)
    for _ in range(data.draw(st.integers(1, 2))):
        new = built(data.draw(leaves))
        changes = all_sites(network, new)
        changes[data.draw(st.integers(0, len(changes) - 1))]()
        assert torch.equal(_maps(network, images), _maps(copy.deepcopy(network), images))


def _maps(network: nn.Module, images: Tensor) -> Tensor:
    """Return the maps; zeros where the layer is refused, which it is only if autograd agrees: a `Scale` by 0."""
    try:
        maps = attribute(network, images, target=1, layer="body.0", signed=True)
    except LayerError:
        assert not _gradient(network, images).any()
        return torch.zeros(())
    assert isinstance(maps, Tensor)
    return maps


def _gradient(network: nn.Module, images: Tensor) -> Tensor:
    copied, returned = copy.deepcopy(network).eval(), list[Tensor]()
    layer = copied.get_submodule("body.0")
    layer.register_forward_hook(lambda module, args, output: returned.append(output))
    (gradient,) = torch.autograd.grad(copied(images).sum(), returned[-1:], allow_unused=True)
    return torch.zeros(()) if gradient is None else gradient
