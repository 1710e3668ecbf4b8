"""Does a copy ever run the caller's own modules, whatever way its `forward` reaches them?

Every network is in train mode with batch norms, so that one run of a module of the caller's would move its numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of, trace
from camlucida.errors import ModelError

State = Callable[[nn.Module], dict[str, Any]]
Evaluated = Callable[[nn.Module, Tensor], Tensor]
EveryTensor = Callable[[Any], list[bytes]]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 3)

    def features(self, x: Tensor) -> Tensor:
        found: Tensor = self.drop(self.bn(self.conv(x))).relu()
        return found

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc(self.features(self.stem(x)).mean((2, 3)))
        return found


class Holder:
    def __init__(self, value: Any) -> None:
        self.value = value

    def call(self, x: Tensor) -> Any:
        return self.value(x)


class Slotted:
    __slots__ = ("__weakref__", "value")

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclasses.dataclass(frozen=True)
class Frozen:
    value: Any


class OwnDict(dict[str, Any]):
    pass


def replaced_by_lambda(net: Any) -> None:
    original = net.forward
    net.forward = lambda x: original(x) * 2


def replaced_by_nested_closures(net: Any) -> None:
    def outer(inner: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        @functools.wraps(inner)
        def wrapped(x: Tensor) -> Tensor:
            return inner(x) * 2

        return wrapped

    net.forward = outer(outer(net.forward))


def recursive(net: Any) -> None:
    def forward(x: Tensor, depth: int = 0) -> Tensor:
        return forward(x, depth + 1) if depth < 2 else Net.forward(net, x)

    net.forward = forward


def through(put: Callable[[Any], Any], get: Callable[[Any], Callable[[Tensor], Tensor]]) -> Callable[[Any], None]:
    """Put the network's whole features somewhere on it, and compute with what is found there."""

    def build(net: Any) -> None:
        put(net)

        def forward(self: Any, x: Tensor) -> Tensor:
            found: Tensor = self.fc(get(self)(self.stem(x)).mean((2, 3)))
            return found

        net.forward = types.MethodType(forward, net)

    return build


def block() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU()).train()


def default_argument(net: Any) -> None:
    def forward(x: Tensor, bn: nn.Module = net.bn, *, fc: nn.Module = net.fc) -> Tensor:
        found: Tensor = fc(bn(net.conv(net.stem(x))).mean((2, 3)))
        return found

    net.forward = forward


def of_a_class(make: Callable[[Any], Any]) -> Callable[[Any], None]:
    def build(net: Any) -> None:
        made = make(net)
        net.__class__ = type("OfAClass", (Net,), made)

    return build


def class_default(net: Any) -> dict[str, Any]:
    def forward(self: Any, x: Tensor, bn: nn.Module = net.bn) -> Tensor:
        found: Tensor = self.fc(bn(self.conv(self.stem(x))).mean((2, 3)))
        return found

    return {"forward": forward}


def class_closure(net: Any) -> dict[str, Any]:
    old = net.forward
    return {"forward": lambda self, x: old(x) * 2}


def class_attribute(net: Any) -> dict[str, Any]:
    return {
        "blocks": [net.bn],
        "forward": lambda self, x: self.fc(self.blocks[0](self.conv(self.stem(x))).mean((2, 3))),
    }


KINDS: dict[str, Callable[[Any], None]] = {
    "a lambda in place of forward": replaced_by_lambda,
    "nested closures": replaced_by_nested_closures,
    "a recursive function": recursive,
    "a method bound to the network": lambda n: setattr(n, "forward", types.MethodType(Net.forward, n)),
    "a partial of a method": lambda n: setattr(n, "forward", functools.partial(Net.forward, n)),
    "default arguments": default_argument,
    "a lambda in a dict": through(
        lambda n: setattr(n, "fns", {"f": lambda x, f=n.features: f(x)}), lambda n: n.fns["f"]
    ),
    "a plain object": through(lambda n: setattr(n, "o", Holder(block())), lambda n: n.o.value),
    "a method of a plain object": through(lambda n: setattr(n, "f", Holder(block()).call), lambda n: n.f),
    "an object with slots": through(lambda n: setattr(n, "o", Slotted(block())), lambda n: n.o.value),
    "an object in an object": through(
        lambda n: setattr(n, "o", Holder([Holder(block())])), lambda n: n.o.value[0].value
    ),
    "a frozen dataclass": through(lambda n: setattr(n, "o", Frozen(block())), lambda n: n.o.value),
    "a namespace": through(lambda n: setattr(n, "o", types.SimpleNamespace(f=block())), lambda n: n.o.f),
    "a trainer that knows the network": through(lambda n: setattr(n, "o", Holder(n)), lambda n: n.o.value.features),
    "a list": through(lambda n: setattr(n, "v", [block()]), lambda n: n.v[0]),
    "a list of methods": through(lambda n: setattr(n, "v", [n.features]), lambda n: n.v[0]),
    "a tuple in a dict": through(lambda n: setattr(n, "v", {"a": (1, block())}), lambda n: n.v["a"][1]),
    "a dict of one's own": through(lambda n: setattr(n, "v", OwnDict(a=block())), lambda n: n.v["a"]),
    "keys of a dict": through(lambda n: setattr(n, "v", {block(): 1}), lambda n: next(iter(n.v))),
    "a set": through(lambda n: setattr(n, "v", {block()}), lambda n: next(iter(n.v))),
    "an array of objects": through(
        lambda n: setattr(n, "v", np.array([block(), None], dtype=object)), lambda n: n.v[0]
    ),
    "a weak reference": through(lambda n: setattr(n, "r", weakref.ref(n)), lambda n: n.r().features),
    "a weak method": through(lambda n: setattr(n, "r", weakref.WeakMethod(n.features)), lambda n: n.r()),
    "a weak proxy": through(lambda n: setattr(n, "r", [weakref.proxy(n)]), lambda n: n.r[0].features),
    "a weak dict": through(
        lambda n: setattr(n, "r", weakref.WeakValueDictionary({"me": n})), lambda n: n.r["me"].features
    ),
    "a partial": through(lambda n: setattr(n, "f", functools.partial(n.features)), lambda n: n.f),
    "a partial's argument": through(
        lambda n: setattr(n, "f", functools.partial(lambda f, x: f(x), block())), lambda n: n.f
    ),
    "a cached function": through(lambda n: setattr(n, "f", functools.lru_cache(maxsize=2)(n.features)), lambda n: n.f),
    "an attribute of a function": through(
        lambda n: (setattr(n, "f", lambda x: None), setattr(n.f, "inner", block())), lambda n: n.f.inner
    ),
    "a decorated function": through(
        lambda n: setattr(n, "f", torch.no_grad()(lambda x, f=n.features: f(x))), lambda n: n.f
    ),
    "an attribute of a parameter": through(lambda n: setattr(n.fc.weight, "f", block()), lambda n: n.fc.weight.f),
    "a forward hook": lambda n: n.conv.register_forward_hook(lambda m, i, o: n.bn(o)),
    "a forward pre-hook that is a method": lambda n: n.fc.register_forward_pre_hook(
        types.MethodType(lambda net, m, i: (net.drop(i[0]),), n)
    ),
    "a default argument in a class": of_a_class(class_default),
    "a closure in a class": of_a_class(class_closure),
    "an attribute of a class": of_a_class(class_attribute),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_copy_runs_its_own_modules(
    state: State, evaluated: Evaluated, every_tensor: EveryTensor, kind: str
) -> None:
    network = Net().train()
    KINDS[kind](network)
    images = torch.randn(4, 3, 8, 8)
    expected = evaluated(network, images)
    before, tensors = state(network), every_tensor(network)
    random_numbers = torch.get_rng_state()
    found = trace(copy_of(network), images, [], gradients=True).output
    assert torch.equal(found, expected)
    attribute(network, images, target=0, layer="stem", method="ablation_cam")
    attribute(network, images, target=0, method="rise", n=4)
    assert state(network) == before
    assert every_tensor(network) == tensors
    assert torch.equal(torch.get_rng_state(), random_numbers)


GLOBAL: dict[str, Any] = {}


def global_module(net: Any) -> None:
    GLOBAL["block"] = block()
    net.forward = lambda x: GLOBAL["block"](x).mean((2, 3))


def global_network(net: Any) -> None:
    GLOBAL["network"] = net
    net.forward = lambda x: Net.forward(GLOBAL["network"], x)


def global_tensor(net: Any) -> None:
    GLOBAL["weight"] = net.fc.weight
    net.stem.forward = lambda x: x * GLOBAL["weight"].sum()


def global_dropout(net: Any) -> None:
    GLOBAL["drop"] = nn.Dropout(0.5)
    net.forward = through_global_dropout(net.forward)


def through_global_dropout(old: Any) -> Any:
    return lambda x: GLOBAL["drop"](old(x))


def written_parameter(net: Any) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.fc.weight.clamp_(-0.01, 0.01)
        return Net.forward(self, x)

    net.forward = types.MethodType(forward, net)


def renormed_embedding(net: Any) -> None:
    net.table = nn.Embedding(3, 4, max_norm=0.1)

    def forward(self: Any, x: Tensor) -> Tensor:
        return Net.forward(self, x) + self.table(torch.zeros(1, dtype=torch.long)).sum()

    net.forward = types.MethodType(forward, net)


def counted_globally(net: Any) -> None:
    GLOBAL["count"] = torch.zeros(1)
    old = net.forward
    net.forward = lambda x: old(x) + GLOBAL["count"].add_(1)


def property_of_a_class(net: Any) -> None:
    bn = net.bn
    net.__class__ = type(
        "OfAClass",
        (Net,),
        {"norm": property(lambda self: bn), "forward": lambda self, x: self.fc(self.norm(self.conv(x)).mean((2, 3)))},
    )


def an_iterator(net: Any) -> None:
    net.blocks = (b for b in (net.bn,))
    net.forward = types.MethodType(lambda self, x: self.fc(next(self.blocks)(self.conv(x)).mean((2, 3))), net)


def an_optimizer(net: Any) -> None:
    net.optimizer = torch.optim.SGD(net.parameters(), lr=1.0)

    def forward(self: Any, x: Tensor) -> Tensor:
        self.optimizer.step()
        return Net.forward(self, x)

    net.forward = types.MethodType(forward, net)


def an_error_with_the_network(net: Any) -> None:
    net.last_error = ValueError(net)
    net.forward = types.MethodType(lambda self, x: self.last_error.args[0].features(x), net)


REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "a global module": (global_module, "'forward'.*Sequential in train mode"),
    "the network by a global name": (global_network, "'forward'.*own layer 'stem'"),
    "a global parameter": (global_tensor, "'stem.forward'.*own tensor 'fc.weight'"),
    "a global dropout": (global_dropout, "Dropout in train mode"),
    "a parameter that is written to": (written_parameter, "'forward'.*writes to its parameter 'fc.weight'"),
    "an embedding with a norm": (renormed_embedding, "'table.forward'.*writes to its parameter 'table.weight'"),
    "a global counter": (counted_globally, "writes to a tensor that is no part of it"),
    "a property of a class": (property_of_a_class, "'forward'.*own layer 'bn'"),
    "an iterator": (an_iterator, "'blocks', a generator"),
    "an optimizer": (an_optimizer, "'optimizer', a SGD"),
    "an error that holds the network": (an_error_with_the_network, "'last_error', a ValueError"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("method", ["grad_cam", "rise"])
def test_what_cannot_be_followed_is_refused(state: State, every_tensor: EveryTensor, kind: str, method: str) -> None:
    build, words = REFUSED[kind]
    network = Net().train()
    build(network)
    watched = [value for value in GLOBAL.values() if isinstance(value, nn.Module)]
    before, tensors = state(network), every_tensor([network, GLOBAL, *watched])
    with pytest.raises(ModelError, match=words):
        attribute(network, torch.randn(4, 3, 8, 8), target=0, method=method)
    assert state(network) == before
    assert every_tensor([network, GLOBAL, *watched]) == tensors
    GLOBAL.clear()


def test_modules_made_in_a_forward_may_run() -> None:
    class Making(Net):
        def forward(self, x: Tensor) -> Tensor:
            pooled = nn.AdaptiveAvgPool2d(1)(nn.ReLU(inplace=True)(self.conv(x)))
            scratch = torch.zeros(4).add_(1)
            made: Tensor = self.fc(nn.Flatten()(pooled) * scratch)
            return made

    network, images = Making().train(), torch.randn(2, 3, 8, 8)
    assert torch.equal(trace(copy_of(network), images, []).output, network.eval()(images))


def test_a_layer_of_another_network_in_eval_mode_may_run() -> None:
    GLOBAL["teacher"] = block().eval()
    network, images = Net().eval(), torch.randn(2, 3, 8, 8)
    network.forward = lambda x: GLOBAL["teacher"](x).mean((2, 3))
    assert torch.equal(trace(copy_of(network), images, []).output, network(images))
    GLOBAL.clear()


def test_a_weight_that_forward_assigns_stays_the_callers(state: State) -> None:
    """As EEGNet's layers with a constrained norm do it."""

    class Constrained(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.1)
            return super().forward(x)

    network, images = Net().eval(), torch.randn(2, 3, 8, 8)
    network.fc = Constrained(4, 3)
    before = state(network)
    outputs = [trace(copy_of(network), images, []).output for _ in range(2)]
    assert state(network) == before
    with torch.no_grad():
        network.fc.weight.mul_(0.5)
        outputs.append(trace(copy_of(network), images, []).output)
        assert torch.equal(outputs[2], network(images))
    assert torch.equal(outputs[0], outputs[1])


def test_state_in_arrays_and_objects_stays_the_callers() -> None:
    class Keeping(Net):
        def __init__(self) -> None:
            super().__init__()
            self.array, self.object, self.log = np.zeros(3), Holder(0), {"runs": [0]}

        def forward(self, x: Tensor) -> Tensor:
            self.array += 1
            self.object.value += 1
            self.log["runs"].append(len(x))
            return super().forward(x)

    network = Keeping().train()
    attribute(network, torch.randn(2, 3, 8, 8), target=0, method="rise", n=4)
    assert network.array.tolist() == [0, 0, 0]
    assert network.object.value == 0
    assert network.log == {"runs": [0]}
