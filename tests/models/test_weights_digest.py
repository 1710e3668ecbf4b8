"""The digest identifies the current weights, however they were changed."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import nn

import camlucida as cl
from camlucida.models.model import Model
from camlucida.models.weights_digest import MIN_SUMMED_BYTES, weights_digest


def network() -> nn.Sequential:
    """One tensor that is summed, with a remainder, and small ones that are hashed."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 67, 3), nn.BatchNorm2d(67), nn.Conv2d(67, 16, 3), nn.Flatten(), nn.Linear(16, 5))
    net.register_buffer("unsaved", torch.zeros(3), persistent=False)
    return net.eval()


def large(net: nn.Sequential) -> torch.Tensor:
    weight: torch.Tensor = net[2].weight  # type: ignore[assignment]
    assert weight.numel() * 4 > MIN_SUMMED_BYTES
    return weight


def swap(net: nn.Sequential, first: int, second: int) -> None:
    flat = large(net).data.view(-1)
    flat[[first, second]] = flat[[second, first]]


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "in place": lambda net: large(net).detach().mul_(2),
    "one weight through .data": lambda net: large(net).data.view(-1)[-1].add_(1e-3),
    "one weight through .numpy()": lambda net: large(net).detach().numpy().__setitem__((3, 5, 1, 1), 7.0),
    "two weights swapped": lambda net: swap(net, 10, 4000),
    "neighbours swapped": lambda net: swap(net, 100, 101),
    "words swapped": lambda net: (swap(net, 100, 102), swap(net, 101, 103)),
    "channels reversed": lambda net: large(net).data.copy_(large(net).data.flip(0).clone()),
    "inputs reversed": lambda net: large(net).data.copy_(large(net).data.flip(1).clone()),
    "channels rolled": lambda net: large(net).data.copy_(large(net).data.roll(1, 0).clone()),
    "kernels turned": lambda net: large(net).data.copy_(large(net).data.transpose(2, 3).clone()),
    "sign of all": lambda net: large(net).data.neg_(),
    "sign of every second weight": lambda net: large(net).data.view(-1)[1::2].neg_(),
    "sign of one input channel": lambda net: large(net).data[:, 5].neg_(),
    "a bias": lambda net: net[4].bias.data.view(-1)[0].add_(1.0),  # type: ignore[union-attr, operator]
    "a running mean": lambda net: net[1].running_mean.add_(0.1),  # type: ignore[union-attr, operator]
    "a buffer that is not saved": lambda net: net.unsaved.add_(1.0),  # type: ignore[union-attr, operator]
    "another parameter": lambda net: setattr(net[4], "bias", nn.Parameter(torch.ones(5))),
    "another shape": lambda net: setattr(net[4], "weight", nn.Parameter(net[4].weight.detach().view(16, 5))),
    "double precision": lambda net: net.double(),
    "a step of an optimiser": lambda net: step(net),
}


def step(net: nn.Sequential) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.ones(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen_and_undone(change: str) -> None:
    net = network()
    model = Model(net)
    before, kept = model.weights_hash, copy.deepcopy(net)
    CHANGES[change](net)
    after = model.weights_hash
    assert after != before
    assert after == weights_digest(copy.deepcopy(net))  # a network that was never asked says the same
    assert weights_digest(kept) == before


def test_signs_in_double_precision() -> None:
    """The sign is the highest bit of a word of 8 bytes: two such changes cancel in a sum modulo 2**64."""
    net = network().double()
    before = weights_digest(net)
    large(net).data.view(-1)[[4, 7]] *= -1
    assert weights_digest(net) != before


def test_two_changes_in_turn() -> None:
    net = network()
    names = []
    for _ in range(3):
        large(net).data.view(-1)[0] += 1
        names.append(weights_digest(net))
    large(net).data.view(-1)[0] -= 2
    assert len(set(names)) == 3
    assert weights_digest(net) == weights_digest(copy.deepcopy(net))


def test_the_same_under_any_mode() -> None:
    net, name = network(), weights_digest(network())
    with torch.inference_mode():
        assert weights_digest(net) == name
    assert weights_digest(net.train()) == name
    assert weights_digest(net.requires_grad_(False)) == name
    with torch.inference_mode():
        made_inside = network()
    assert weights_digest(made_inside) == name


def test_kinds_of_tensors() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("bfloat", torch.ones(5000, dtype=torch.bfloat16))
            self.register_buffer("complex", torch.ones(3, dtype=torch.complex64).conj())
            self.register_buffer("scalar", torch.tensor(3))
            self.register_buffer("empty", torch.empty(0, 4))
            self.register_buffer("strided", torch.arange(9000.0).view(90, 100).T)
            self.register_buffer("shifted", torch.arange(9001, dtype=torch.uint8).repeat(3)[1:])

    odd = Odd()
    assert len(weights_digest(odd)) == 16
    assert weights_digest(odd) == weights_digest(copy.deepcopy(odd))
    assert len(weights_digest(nn.LazyLinear(3))) == 16
    assert len(weights_digest(nn.Linear(3, 3, device="meta"))) == 16


def test_the_network_is_freed() -> None:
    net = network()
    weights_digest(net)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_an_explanation_names_the_weights_it_was_made_with() -> None:
    model = cl.wrap(network()[:1].append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten()), size=32, layer="0")
    image = torch.zeros(3, 32, 32).numpy().astype("uint8").transpose(1, 2, 0)
    first = cl.explain(model, image, target=0)
    before = model.weights_hash
    model.network[0].weight.data.mul_(2)  # type: ignore[index, union-attr, operator]
    second = cl.explain(model, image, target=0)
    assert first.record()["weights"] == before
    assert second.record()["weights"] == model.weights_hash != before
