"""LRP beside Captum's, which is the oracle where every layer follows the one before; elsewhere what it gives is shown.

Captum takes a fixed list of module types, and a rule by an attribute put on each module. It has batch norm as a layer
of its own; here the network has none, or it is folded by hand. On a shortcut it is silently wrong: ordinary gradient
passes an addition whole to both sides, so what is handed back doubles (test below).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute

captum = pytest.importorskip("captum.attr")
rules = pytest.importorskip("captum.attr._utils.lrp_rules")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

RULES = {
    "epsilon": lambda: rules.EpsilonRule(epsilon=1e-9),
    "gamma": lambda: rules.GammaRule(gamma=0.25),
    "z_plus": lambda: rules.Alpha1_Beta0_Rule(),
}


def made(network: nn.Module) -> Any:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in (*network.double().named_parameters(), *network.named_buffers()):
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.4
                tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
    return network.eval()


def images(positive: bool) -> Tensor:
    found = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return found.abs() if positive else found


class Stacked(nn.Module):
    """One layer after the other; flattened by a method, since Captum raises at `nn.Flatten`."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 5, 3, bias=bias), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(20, 8, bias=bias), nn.ReLU(), nn.Linear(8, 4, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(x).flatten(1))
        return out


class Normed(nn.Module):
    """A batch norm after a convolution, or folded into it."""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features, self.relu, self.head = features, nn.ReLU(), head

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.relu(self.features(x)).flatten(1))
        return out


def theirs(network: nn.Module, pictures: Tensor, rule: str, k: int) -> Tensor:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.rule = RULES[rule]()  # type: ignore[assignment]
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            module.rule = rules.EpsilonRule(epsilon=1e-9)  # type: ignore[assignment]
    found: Tensor = captum.LRP(network).attribute(pictures.clone(), target=k)
    return found.sum(1).detach()


@pytest.mark.parametrize("bias", [False, True], ids=["no biases", "biases"])
@pytest.mark.parametrize("k", range(4))
def test_epsilon(k: int, bias: bool) -> None:
    network = made(Stacked(bias))
    found = attribute(network, images(positive=False), target=k, method="lrp", rule="epsilon", epsilon=1e-9)
    assert_close(found, theirs(network, images(positive=False), "epsilon", k), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("rule", ["gamma", "z_plus"])
def test_gamma_and_z_plus_on_positive_images_without_biases(rule: str) -> None:
    network, pictures = made(Stacked(bias=False)), images(positive=True)
    assert (network(pictures)[:, 1] > 0).all()
    found = attribute(network, pictures, target=1, method="lrp", rule=rule, epsilon=1e-9)
    assert_close(found, theirs(network, pictures, rule, 1), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("rule", ["gamma", "z_plus"])
def test_elsewhere_captum_takes_one_weight_for_both_signs(rule: str) -> None:
    """A positive weight on a negative input speaks against an outcome; Captum favours it all the same."""
    network = made(nn.Sequential(nn.Conv2d(1, 1, (1, 2), bias=False)))
    network[0].weight.data[:] = torch.tensor([2.0, -1.0])
    pictures = torch.tensor([[[[3.0, -4.0]]]], dtype=torch.float64)  # contributions 6 and 4: z = 10
    whole = nn.Sequential(network[0], nn.AdaptiveAvgPool2d(1))
    own = attribute(_Flattened(whole), pictures, target=0, method="lrp", rule=rule, epsilon=1e-12)
    assert_close(own, torch.tensor([[[6.0, 4.0]]], dtype=torch.float64))
    up, down = (2.5, -1.0) if rule == "gamma" else (2.0, 0.0)
    shares = torch.tensor([3 * up, -4 * down], dtype=torch.float64)
    assert_close(theirs(_Flattened(whole), pictures, rule, 0), (shares / shares.sum() * 10)[None, None])


class _Flattened(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x).flatten(1)
        return out


def test_folded_batch_norm() -> None:
    """Ours with the norm as it stands, Captum's with it folded by hand."""
    network = made(Normed(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)), nn.Linear(400, 3)))
    folded = Normed(fuse_conv_bn_eval(*network.features), network.head).eval()
    found = attribute(network, images(positive=False), target=1, method="lrp", rule="epsilon", epsilon=1e-9)
    assert_close(found, theirs(folded, images(positive=False), "epsilon", 1), rtol=1e-5, atol=1e-8)


class Shortcut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.relu = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.ReLU()
        self.two, self.head = nn.ReLU(), nn.Linear(360, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.one(x))
        out: Tensor = self.head(self.two(x + x).flatten(1))
        return out


def test_a_shortcut() -> None:
    """Without biases all must arrive: ours does, Captum's is twice the score."""
    network, pictures = made(Shortcut()), images(positive=False)
    score = network(pictures)[:, 1].detach()
    found = attribute(network, pictures, target=1, method="lrp", rule="epsilon", epsilon=1e-12)
    assert_close(found.sum((1, 2)), score, rtol=1e-6, atol=1e-8)
    assert_close(theirs(network, pictures, "epsilon", 1).sum((1, 2)), 2 * score, rtol=1e-6, atol=1e-8)
