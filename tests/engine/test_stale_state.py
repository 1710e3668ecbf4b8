"""Is whatever changes between two calls explained as it is now? Every kind of state that a `forward` can read.

Each kind is a network with a number in it, and a way to change that number; the reference is the network itself.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import random
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of, trace


class Reading(nn.Module):
    """Multiplies by what `read(network)` returns, whatever `build(network)` put where."""

    def __init__(self, build: Callable[[Any], Any], read: Callable[[Any], Any]) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.read = read
        build(self)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc((self.bn(self.conv(x)) * self.read(self)).relu().mean((2, 3)))
        return found


class Plain:
    def __init__(self, value: Any) -> None:
        self.value = value


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclasses.dataclass
class Settings:
    value: float
    inner: list[float]


class OwnList(list[Any]):
    pass


def closed_over(value: Any) -> Callable[[], Any]:
    def inner() -> Any:
        return value

    return inner


def put(name: str, value: Callable[[], Any]) -> Callable[[Any], None]:
    return lambda net: setattr(net, name, value())


def rebound_cell(net: Any) -> None:
    net.fn.__closure__[0].cell_contents = -2.0


def through_numpy(tensor: Tensor) -> None:
    tensor.detach().numpy()[...] *= -2


Pair = collections.namedtuple("Pair", ["a", "b"])
GLOBAL = {"value": 1.0}

KINDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "a number": (put("k", lambda: 1.0), lambda n: n.k, lambda n: setattr(n, "k", -2.0)),
    "a number that begins with _": (put("_k", lambda: 1.0), lambda n: n._k, lambda n: setattr(n, "_k", -2.0)),
    "a sign of zero": (put("k", lambda: 0.0), lambda n: np.copysign(1.0, n.k), lambda n: setattr(n, "k", -0.0)),
    "an attribute that is new": (lambda n: None, lambda n: getattr(n, "k", 1.0), lambda n: setattr(n, "k", -2.0)),
    "an attribute that goes": (put("k", lambda: -2.0), lambda n: getattr(n, "k", 1.0), lambda n: delattr(n, "k")),
    "a dict": (put("d", lambda: {"k": 1.0}), lambda n: n.d["k"], lambda n: n.d.update(k=-2.0)),
    "a dict in a dict": (
        put("d", lambda: {"a": {"k": 1.0}}),
        lambda n: n.d["a"]["k"],
        lambda n: n.d["a"].update(k=-2.0),
    ),
    "a key": (put("d", lambda: {"k": -2.0}), lambda n: n.d.get("k", 1.0), lambda n: n.d.pop("k")),
    "the order of a dict": (
        put("d", lambda: {"a": 1.0, "b": -2.0}),
        lambda n: next(iter(n.d.values())),
        lambda n: n.d.update(a=n.d.pop("a")),
    ),
    "an OrderedDict": (
        put("d", lambda: OrderedDict(a=1.0, b=-2.0)),
        lambda n: next(iter(n.d.values())),
        lambda n: n.d.move_to_end("a"),
    ),
    "a defaultdict": (put("d", lambda: defaultdict(float, k=1.0)), lambda n: 1 + n.d["k"], lambda n: n.d.clear()),
    "a list": (put("v", lambda: [1.0]), lambda n: n.v[0], lambda n: n.v.__setitem__(0, -2.0)),
    "a list of one's own": (put("v", lambda: OwnList([1.0])), lambda n: n.v[0], lambda n: n.v.__setitem__(0, -2.0)),
    "a list that holds itself": (
        lambda n: (setattr(n, "v", [1.0]), n.v.append(n.v)),
        lambda n: n.v[1][1][0],
        lambda n: n.v.__setitem__(0, -2.0),
    ),
    "a dict that holds itself": (
        lambda n: (setattr(n, "d", {"k": 1.0}), n.d.update(me=n.d, net=n)),
        lambda n: n.d["me"]["net"].d["k"],
        lambda n: n.d.update(k=-2.0),
    ),
    "a tuple": (put("v", lambda: (1.0, [2.0])), lambda n: n.v[1][0], lambda n: n.v[1].__setitem__(0, -2.0)),
    "a named tuple": (put("v", lambda: Pair(1.0, {"k": 1.0})), lambda n: n.v.b["k"], lambda n: n.v.b.update(k=-2.0)),
    "a set": (put("s", lambda: {1}), lambda n: -2.0 if 2 in n.s else 1.0, lambda n: n.s.add(2)),
    "a deque": (put("v", lambda: deque([1.0], 3)), lambda n: n.v[-1], lambda n: n.v.append(-2.0)),
    "a slice": (
        put("v", lambda: slice(0, 2)),
        lambda n: float(len(range(9)[n.v])),
        lambda n: setattr(n, "v", slice(0, 5)),
    ),
    "an array": (put("a", lambda: np.ones(1)), lambda n: float(n.a[0]), lambda n: n.a.__imul__(-2)),
    "an array in a list": (put("v", lambda: [np.ones(1)]), lambda n: float(n.v[0][0]), lambda n: n.v[0].fill(-2)),
    "bytes": (put("b", lambda: bytearray(b"\1")), lambda n: float(n.b[0]), lambda n: n.b.__setitem__(0, 7)),
    "a loose tensor": (put("t", lambda: torch.ones(1)), lambda n: n.t, lambda n: n.t.mul_(-2)),
    "a loose tensor through .data": (put("t", lambda: torch.ones(1)), lambda n: n.t, lambda n: n.t.data.mul_(-2)),
    "a tensor in a list": (put("v", lambda: [torch.ones(1)]), lambda n: n.v[0], lambda n: n.v[0].mul_(-2)),
    "a tensor in a dict through NumPy": (
        put("d", lambda: {"t": torch.ones(1)}),
        lambda n: n.d["t"],
        lambda n: through_numpy(n.d["t"]),
    ),
    "a buffer": (
        lambda n: n.register_buffer("t", torch.ones(1)),
        lambda n: n.t,
        lambda n: n.t.mul_(-2),
    ),
    "a buffer through .data": (
        lambda n: n.register_buffer("t", torch.ones(1)),
        lambda n: n.t,
        lambda n: n.t.data.mul_(-2),
    ),
    "a buffer through NumPy": (
        lambda n: n.register_buffer("t", torch.ones(4), persistent=False),
        lambda n: n.t[0],
        lambda n: through_numpy(n.t),
    ),
    "a buffer seen otherwise": (
        lambda n: n.register_buffer("t", torch.tensor([[1.0, 2], [-3, 4]])),
        lambda n: n.t[0, 1],
        lambda n: setattr(n.t, "data", n.t.data.t()),
    ),
    "a parameter seen otherwise": (
        lambda n: setattr(n, "p", nn.Parameter(torch.tensor([[1.0, 2], [-3, 4]]))),
        lambda n: n.p[0, 1],
        lambda n: setattr(n.p, "data", n.p.data.t()),
    ),
    "a batch counter": (
        lambda n: None,
        lambda n: float(1 + n.bn.num_batches_tracked),
        lambda n: n.bn.num_batches_tracked.data.add_(1),
    ),
    "statistics through NumPy": (
        lambda n: None,
        lambda n: 1.0,
        lambda n: n.bn.running_mean.numpy().__iadd__(1),
    ),
    "a norm of one's own": (
        lambda n: (n.register_buffer("m", torch.zeros(4)), n.register_buffer("s", torch.ones(4))),
        lambda n: F.batch_norm(torch.ones(1, 4, 1, 1), n.m, n.s),
        lambda n: n.m.data.add_(3),
    ),
    "a parameter": (lambda n: setattr(n, "p", nn.Parameter(torch.ones(1))), lambda n: n.p, lambda n: n.p.data.mul_(-2)),
    "a parameter in a list": (
        put("v", lambda: [nn.Parameter(torch.ones(1))]),
        lambda n: n.v[0],
        lambda n: n.v.__setitem__(0, nn.Parameter(-torch.ones(1))),
    ),
    "an attribute of a parameter": (
        lambda n: setattr(n.fc.weight, "factor", 1.0),
        lambda n: n.fc.weight.factor,
        lambda n: setattr(n.fc.weight, "factor", -2.0),
    ),
    "a module in a list, replaced": (
        put("v", lambda: [nn.Identity()]),
        lambda n: n.v[0](torch.ones(1)),
        lambda n: n.v.__setitem__(0, nn.Threshold(2, -2)),
    ),
    "a module in a dict, replaced": (
        put("d", lambda: {"a": nn.Identity()}),
        lambda n: n.d["a"](torch.full((1,), -1.0)),
        lambda n: n.d.update(a=nn.LeakyReLU(0.5)),
    ),
    "the setting of a module in a list": (
        put("v", lambda: [nn.LeakyReLU(0.5)]),
        lambda n: n.v[0](torch.full((1,), -1.0)),
        lambda n: setattr(n.v[0], "negative_slope", 0.1),
    ),
    "a buffer of a module in a dict": (
        put("d", lambda: {"a": nn.BatchNorm1d(1).eval()}),
        lambda n: n.d["a"](torch.ones(1, 1)),
        lambda n: n.d["a"].running_mean.data.add_(2),
    ),
    "an object": (put("o", lambda: Plain(1.0)), lambda n: n.o.value, lambda n: setattr(n.o, "value", -2.0)),
    "an object with slots": (
        put("o", lambda: Slotted(1.0)),
        lambda n: n.o.value,
        lambda n: setattr(n.o, "value", -2.0),
    ),
    "a dataclass": (put("o", lambda: Settings(1.0, [1.0])), lambda n: n.o.value, lambda n: setattr(n.o, "value", -2.0)),
    "a list in a dataclass": (
        put("o", lambda: Settings(1.0, [1.0])),
        lambda n: n.o.inner[0],
        lambda n: n.o.inner.__setitem__(0, -2.0),
    ),
    "a namespace": (
        put("o", lambda: types.SimpleNamespace(value=1.0)),
        lambda n: n.o.value,
        lambda n: setattr(n.o, "value", -2.0),
    ),
    "a function": (put("fn", lambda: torch.abs), lambda n: n.fn(-torch.ones(1)), lambda n: setattr(n, "fn", torch.exp)),
    "what a function closes over": (put("fn", lambda: closed_over(1.0)), lambda n: n.fn(), rebound_cell),
    "a list that a function closes over": (
        put("fn", lambda: closed_over([1.0])),
        lambda n: n.fn()[0],
        lambda n: n.fn().__setitem__(0, -2.0),
    ),
    "a default argument": (
        put("fn", lambda: types.FunctionType((lambda k=1.0: k).__code__, globals(), "f", (1.0,))),
        lambda n: n.fn(),
        lambda n: setattr(n.fn, "__defaults__", (-2.0,)),
    ),
    "a keyword's default": (
        put("fn", lambda: (lambda box: lambda *, k=box: k)([1.0])),
        lambda n: n.fn()[0],
        lambda n: n.fn.__kwdefaults__["k"].__setitem__(0, -2.0),
    ),
    "an attribute of a function": (
        lambda n: (setattr(n, "fn", lambda: None), setattr(n.fn, "k", 1.0)),
        lambda n: n.fn.k,
        lambda n: setattr(n.fn, "k", -2.0),
    ),
    "code": (
        put("fn", lambda: lambda: 1.0),
        lambda n: n.fn(),
        lambda n: setattr(n.fn, "__code__", (lambda: -2.0).__code__),
    ),
    "a partial": (
        put("fn", lambda: functools.partial(torch.mul, torch.ones(1), torch.ones(1))),
        lambda n: n.fn(),
        lambda n: n.fn.args[1].mul_(-2),
    ),
    "a method of an object": (
        put("fn", lambda: Plain([1.0]).value.copy),
        lambda n: n.fn()[0],
        lambda n: n.fn.__self__.__setitem__(0, -2.0),
    ),
    "a weak reference": (
        lambda n: (setattr(n, "keep", Plain(1.0)), setattr(n, "ref", weakref.ref(n.keep))),
        lambda n: n.ref().value,
        lambda n: setattr(n.keep, "value", -2.0),
    ),
    "a generator of random numbers": (
        put("rng", lambda: random.Random(1)),
        lambda n: float(n.rng.getstate()[1][5] % 97),
        lambda n: n.rng.seed(2),
    ),
    "torch's generator": (
        put("rng", lambda: torch.Generator().manual_seed(1)),
        lambda n: float(n.rng.initial_seed()),
        lambda n: n.rng.manual_seed(2),
    ),
    "NumPy's generator": (
        put("rng", lambda: np.random.default_rng(1)),
        lambda n: float(n.rng.bit_generator.state["state"]["state"] % 97),
        lambda n: n.rng.random(),
    ),
    "a constant of a function's module": (
        lambda n: GLOBAL.update(value=1.0),
        lambda n: GLOBAL["value"],
        lambda n: GLOBAL.update(value=-2.0),
    ),
    "a forward hook's list": (
        lambda n: (setattr(n, "k", [1.0]), n.conv.register_forward_hook(lambda m, i, o, k=n.k: o * k[0])),
        lambda n: 1.0,
        lambda n: n.k.__setitem__(0, -2.0),
    ),
    "a forward hook that goes": (
        lambda n: setattr(n, "handle", n.conv.register_forward_hook(lambda m, i, o: o * -2)),
        lambda n: 1.0,
        lambda n: n.handle.remove(),
    ),
    "a forward pre-hook": (
        lambda n: None,
        lambda n: 1.0,
        lambda n: n.conv.register_forward_pre_hook(lambda m, i: (i[0] * -2,)),
    ),
    "a forward of its own": (
        lambda n: None,
        lambda n: 1.0,
        lambda n: setattr(n.conv, "forward", lambda x, f=n.conv.forward: f(x) * -2),
    ),
    "a child": (
        lambda n: setattr(n, "act", nn.Identity()),
        lambda n: n.act(torch.ones(1)),
        lambda n: setattr(n, "act", nn.Threshold(2, -2)),
    ),
    "the class of a child": (
        lambda n: setattr(n, "act", nn.ReLU()),
        lambda n: 2 + n.act(torch.full((1,), -1.0)),
        lambda n: setattr(n.act, "__class__", nn.Tanh),
    ),
}


def mapped(network: nn.Module, images: Tensor) -> Tensor:
    found = attribute(network, images, target=0, layer="conv", signed=True)
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_seen(kind: str) -> None:
    build, read, change = KINDS[kind]
    images = torch.randn(2, 3, 8, 8)
    network = Reading(build, read).eval()
    with torch.no_grad():
        before, old = network(images), trace(copy_of(network), images, []).output
    assert torch.equal(old, before)
    copied = copy_of(network)
    mapped(network, images)
    if copied.lasting:
        assert copy_of(network) is copied, "an unchanged network is not copied again"
    change(network)
    with torch.no_grad():
        expected = network(images)
    assert not torch.equal(expected, before), "the change does not show"
    new = trace(copy_of(network), images, []).output
    assert torch.equal(new, expected)
    assert torch.equal(mapped(network, images), mapped_by_hand(network, images))


def mapped_by_hand(network: Any, images: Tensor) -> Tensor:
    """Grad-CAM by autograd on the network itself."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0].clone()

    handle = network.conv.register_forward_hook(keep)
    try:
        (gradient,) = torch.autograd.grad(network(images)[:, 0].sum(), kept)
    finally:
        handle.remove()
    return (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).detach()


def test_a_patched_class_is_seen() -> None:
    class Scaled(nn.Module):
        factor = 1.0

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

        def pooled(self, x: Tensor) -> Tensor:
            return x.relu().mean((2, 3))

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.fc(self.pooled(self.conv(x)) * self.factor)
            return found

    def patched(self: Scaled, x: Tensor) -> Tensor:
        found: Tensor = self.fc(self.pooled(self.conv(x)) * 3)
        return found

    def maximum(self: Scaled, x: Tensor) -> Tensor:
        return x.amax((2, 3))

    images, network = torch.randn(2, 3, 8, 8), Scaled().eval()
    for name, value in (("factor", -2.0), ("pooled", maximum), ("forward", patched)):
        old = trace(copy_of(network), images, []).output
        setattr(Scaled, name, value)
        with torch.no_grad():
            expected = network(images)
        assert not torch.equal(old, expected)
        assert torch.equal(trace(copy_of(network), images, []).output, expected), name
        assert torch.equal(mapped(network, images), mapped_by_hand(network, images)), name


def test_code_exchanged_in_a_class_is_seen() -> None:
    class Doubled(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self:
                x = layer(x)
            return x

    def tripled(self: Any, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x * 3

    images, network = torch.randn(2, 3, 8, 8), Doubled(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    copy_of(network).module(images)
    Doubled.forward.__code__ = tripled.__code__
    assert torch.equal(copy_of(network).module(images), network(images))


@pytest.mark.parametrize(
    "kind", ["counter", "buffer", "tensor", "array", "object", "list", "generator", "cell", "tuple"]
)
def test_every_run_begins_with_the_callers_state(kind: str) -> None:
    """A network that counts its runs and computes with the count is explained as it would answer next."""

    class Counting(Reading):
        pass

    def build(n: Any) -> None:
        n.k, n.a, n.o, n.v, n.t = 1, np.ones(1), Plain(1), [1], torch.ones(1)
        n.register_buffer("b", torch.ones(1))
        n.rng, n.pair, n.fn = itertools.count(1), (torch.ones(1), np.ones(1)), closed_over([1])

    def count(n: Any) -> Any:
        if kind == "counter":
            n.k += 1
            return n.k
        if kind == "buffer":
            n.b += 1
            return n.b
        if kind == "tensor":
            n.t += 1
            return n.t
        if kind == "array":
            n.a += 1
            return float(n.a[0])
        if kind == "object":
            n.o.value += 1
            return n.o.value
        if kind == "list":
            n.v.append(1)
            return len(n.v)
        if kind == "cell":
            n.fn().append(1)
            return len(n.fn())
        if kind == "tuple":
            n.pair[0].add_(1)
            n.pair[1].__iadd__(1)
            return n.pair[0] + float(n.pair[1][0])
        return next(n.rng)

    images, network = torch.randn(2, 3, 8, 8), Counting(build, count).eval()
    answers = [trace(copy_of(network), images, []).output for _ in range(3)]
    copied = copy_of(network)
    answers += [copied.module(images) for _ in range(2)]
    with torch.no_grad():
        expected = network(images)
    assert all(torch.equal(answer, expected) for answer in answers)
    assert not torch.equal(network(images), expected)


def test_what_cannot_be_compared_is_copied_for_every_request() -> None:
    network = Reading(put("o", lambda: ValueError(1.0)), lambda n: n.o.args[0]).eval()
    images = torch.randn(1, 3, 8, 8)
    copied = copy_of(network)
    assert copy_of(network) is not copied
    trace(copy_of(network), images, [])
    network.o.args = (-2.0,)
    assert torch.equal(trace(copy_of(network), images, []).output, network(images))
