"""LRP of ResNet-18 compared with zennit's, on a network whose batch norms are folded beforehand by PyTorch.

On the network as it is, zennit differs from ours for two reasons, neither of which is a rule. Its canonizer leaves each
folded batch norm in place with a variance of 1, so that it still divides by sqrt(1 + eps): the network that it explains
has other scores. And it adds stabilisers of 1e-6 to every denominator, also at sums and average pooling. With batch
norms that PyTorch folded and stabilisers of 1e-14 the maps are equal up to rounding in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import resnet18
from torchvision.models.resnet import BasicBlock

from camlucida.attribution.attribute import attribute

pytest.importorskip("zennit")
from zennit.attribution import Gradient
from zennit.composites import SpecialFirstLayerMapComposite
from zennit.layer import Sum
from zennit.rules import Epsilon, Flat, Gamma, Norm, Pass, ZPlus
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetCanonizer
from zennit.types import Activation, AvgPool, Convolution, Linear

pytestmark = pytest.mark.filterwarnings("ignore")  # zennit's own

TARGET = 3
TINY = 1e-14
"""Stabiliser that does not change a result in float64."""


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Return ResNet-18 with random weights and statistics, in float64."""
    torch.manual_seed(0)
    made = resnet18(num_classes=10).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low in (
                    (module.weight, 0.5), (module.running_var, 0.5), (module.bias, -0.5), (module.running_mean, -0.5)
                ):  # fmt: skip
                    tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + low)
    return made


def folded(network: nn.Module) -> Any:
    """Return a copy whose batch norms are part of the convolutions."""
    copy: Any = resnet18(num_classes=10).double().eval()
    copy.load_state_dict(network.state_dict())
    for module in [copy, *(m for m in copy.modules() if isinstance(m, BasicBlock))]:
        names = [("conv1", "bn1"), *([("conv2", "bn2")] if isinstance(module, BasicBlock) else [])]
        for conv, norm in names:
            setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
            setattr(module, norm, nn.Identity())
        if getattr(module, "downsample", None) is not None:
            module.downsample = nn.Sequential(fuse_conv_bn_eval(*module.downsample))
    return copy


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def of_zennit(network: nn.Module, images: Tensor, rule: str, stabiliser: float, canonizer: Any) -> Tensor:
    """Return zennit's relevance of the target's logit, summed over the colours."""
    convolution: dict[str, Callable[[], Any]] = {
        "epsilon": lambda: Epsilon(stabiliser),
        "gamma": lambda: Gamma(0.25, stabiliser),
        "z_plus": lambda: ZPlus(stabiliser),
    }
    made = convolution.get(rule, convolution["z_plus"])
    dense = convolution.get(rule, convolution["epsilon"])
    layers = [
        (Activation, Pass()), (Sum, Norm(stabiliser)), (AvgPool, Norm(stabiliser)),
        (Convolution, made()), (Linear, dense()),
    ]  # fmt: skip
    first = [(Convolution, Flat(stabiliser))] if rule == "composite" else []
    composite = SpecialFirstLayerMapComposite(layers, first, canonizers=[canonizer()])
    with Gradient(network, composite) as attributor:
        keep = torch.zeros(10, dtype=torch.float64)
        keep[TARGET] = 1
        _, relevance = attributor(images.clone().requires_grad_(), lambda output: output * keep)
    found: Tensor = relevance.sum(1).detach()
    return found


def difference(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max() / first.abs().max())


@pytest.mark.parametrize(
    ("rule", "tolerance"),
    [("epsilon", 1e-8), ("gamma", 1e-13), ("z_plus", 1e-13), ("composite", 1e-13)],  # epsilon is ill-conditioned
)
def test_equal_if_folded_and_without_stabilisers(
    network: nn.Module, images: Tensor, rule: str, tolerance: float
) -> None:
    ours = attribute(network, images, target=TARGET, method="lrp", rule=rule, epsilon=TINY)
    theirs = of_zennit(folded(network), images, rule, TINY, ResNetBasicBlockCanonizer)
    assert difference(ours, theirs) < tolerance


def test_what_the_folding_and_the_stabilisers_change(network: nn.Module, images: Tensor) -> None:
    """Each of the two alone makes a difference that is far above rounding."""
    ours = attribute(network, images, target=TARGET, method="lrp", rule="composite", epsilon=TINY)
    stabilised = of_zennit(folded(network), images, "composite", 1e-6, ResNetBasicBlockCanonizer)
    their_folding = of_zennit(network, images, "composite", TINY, ResNetCanonizer)
    assert 1e-6 < difference(ours, stabilised) < 1e-3
    assert 1e-6 < difference(ours, their_folding) < 1e-3
    logits = network(images).detach()
    canonizers = ResNetCanonizer().apply(network)
    try:
        changed = difference(logits, network(images).detach())
    finally:
        for canonizer in canonizers:
            canonizer.remove()
    assert 1e-6 < changed < 1e-3
    assert difference(logits, folded(network)(images).detach()) < 1e-13
