"""Is every ReLU found, however it is written, and does the backward pass follow the rule?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.engine.backward.relu_rules import ReluRule, ReluRuleName

X = torch.tensor([-2.0, -1.0, 0.5, 3.0, 5.0, 7.0])
G = torch.tensor([1.0, -1.0, 2.0, -2.0, 3.0, 4.0])
OPEN = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0, 1.0])


def forgotten(x: Tensor) -> Tensor:
    """Written in place, and what the call returned is not used."""
    x.relu_()
    return x


RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, True),
    "F.relu by name": lambda x: F.relu(input=x),
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": forgotten,
    "clamp": lambda x: x.clamp(0),
    "clamp by name": lambda x: torch.clamp(x, min=0.0),
    "clamp_min": lambda x: x.clamp_min(0),
    "threshold": nn.Threshold(0, 0),
}
RELUS_6 = {"module": nn.ReLU6(), "F.relu6": F.relu6, "hardtanh": nn.Hardtanh(0, 6), "clamp": lambda x: x.clamp(0, 6)}
OTHERS = {
    "hardtanh": nn.Hardtanh(),
    "clamp elsewhere": lambda x: x.clamp(-1),
    "clamp above": lambda x: x.clamp(max=2),
    "clamp by a tensor": lambda x: x.clamp(torch.zeros(6)),
    "threshold elsewhere": nn.Threshold(1, 0),
    "leaky": nn.LeakyReLU(),
    "gelu": nn.GELU(),
    "hardswish": nn.Hardswish(),
}


def back(function: Callable[[Tensor], Tensor], rule: ReluRuleName) -> tuple[Tensor, Tensor, int]:
    """What comes out, what comes back to `X` when `G` is sent, and how many ReLUs were seen."""
    x = X.clone().requires_grad_()
    with ReluRule(rule) as relus:
        out = function(x * 1.0)
    (result,) = torch.autograd.grad(out, x, G)
    return out.detach(), result, relus.count


@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_relus(relu: Callable[[Tensor], Tensor]) -> None:
    out, result, count = back(relu, "guided")
    assert (out.tolist(), count) == (X.relu().tolist(), 1)
    assert_close(result, G.relu() * OPEN)
    assert_close(back(relu, "deconvolution")[1], G.relu())


@pytest.mark.parametrize("relu", RELUS_6.values(), ids=RELUS_6)
def test_relus_with_a_top(relu: Callable[[Tensor], Tensor]) -> None:
    out, result, count = back(relu, "guided")
    assert (out.tolist(), count) == (X.clamp(0, 6).tolist(), 1)
    assert_close(result, torch.tensor([0.0, 0.0, 2.0, 0.0, 3.0, 0.0]))
    assert_close(back(relu, "deconvolution")[1], G.relu())


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_no_relu_keeps_its_gradient(other: Callable[[Tensor], Tensor]) -> None:
    x = X.clone().requires_grad_()
    expected = other(x * 1.0)
    out, result, count = back(other, "guided")
    assert count == 0
    assert_close(out, expected.detach())
    assert_close(result, torch.autograd.grad(expected, x, G)[0])


def test_what_a_relu_in_place_overwrites_is_overwritten() -> None:
    """A shortcut that reads the old name sees what came after the ReLU."""

    def block(x: Tensor) -> Tensor:
        y = F.relu(x, inplace=True)
        return x + 2 * y

    out, result, _ = back(block, "guided")
    assert_close(out, 3 * X.relu())
    assert_close(result, 3 * G.relu() * OPEN)


def test_nothing_remains_active() -> None:
    back(F.relu, "guided")
    x = X.clone().requires_grad_()
    assert_close(torch.autograd.grad(F.relu(x), x, G)[0], G * OPEN)
