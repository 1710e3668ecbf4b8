"""Is a network freed when the caller drops it, whatever refers back to it?"""

from __future__ import annotations

import functools
import gc
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from camlucida.attribution.attribute import attribute


class Trainer:
    def __init__(self, model: Any) -> None:
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.batches = (batch for batch in [model])

    def log(self, module: nn.Module, args: Any, output: Tensor) -> None:
        pass


def closure(net: Any) -> None:
    original = net.forward
    net.forward = lambda x: original(x)


def of_a_class(net: Any) -> None:
    net.__class__ = type("Own", (nn.Sequential,), {"forward": lambda self, x, net=net: nn.Sequential.forward(net, x)})


def raised(net: Any) -> None:
    net.error = ValueError(net)


KINDS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda net: None,
    "a trainer": lambda net: setattr(net, "trainer", Trainer(net)),
    "a trainer of a layer": lambda net: setattr(net[0], "trainer", Trainer(net)),
    "a hook with a default argument": lambda net: net[0].register_forward_hook(lambda m, i, o, net=net: None),
    "a hook that is a method": lambda net: net[0].register_forward_hook(Trainer(net).log),
    "a backward hook": lambda net: net[0].register_full_backward_hook(lambda m, i, o, net=net: None),
    "a state dict hook": lambda net: net._register_state_dict_hook(functools.partial(lambda n, *_: None, net)),
    "a closure": closure,
    "a bound method": lambda net: setattr(net[0], "call", net.forward),
    "a list in a dict": lambda net: setattr(net[0], "d", {"v": [net]}),
    "a generator": lambda net: setattr(net, "g", (layer for layer in [net])),
    "an iterator": lambda net: setattr(net, "i", iter([net])),
    "an object of C": raised,
    "a default argument in its class": of_a_class,
    "a circle of its own": lambda net: setattr(net, "me", types.SimpleNamespace(net=net)),
    "what cannot be compared": lambda net: setattr(net, "error", ValueError(1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_dropped_network_is_freed(kind: str) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    for _ in range(3):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        KINDS[kind](net)
        alive.add(net)
        alive.add(net[0])
        attribute(net, torch.randn(1, 3, 8, 8), target=1)
        attribute(net, torch.randn(1, 3, 8, 8), target=1, method="ablation_cam")
    del net
    gc.collect()
    assert not list(alive)
