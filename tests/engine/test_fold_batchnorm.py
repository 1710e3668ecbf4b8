"""The quicker network gives the network's own scores, and folds what may be folded and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import camlucida as cl
from camlucida.attribution.outputs import class_scores
from camlucida.engine import InputVariants, copy_of
from camlucida.engine.fold_batchnorm import FoldedNetwork, folded
from camlucida.engine.run_options import RunOptions
from camlucida.errors import MethodError


class Net(nn.Module):
    """Parts by name, and a way through them."""

    def __init__(self, way: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.way = way
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def conv(inside: int = 3, out: int = 8, **how: Any) -> nn.Conv2d:
    return nn.Conv2d(inside, out, 3, padding=1, **how)


def norm(channels: int = 8) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels)


def randomized(network: nn.Module) -> nn.Module:
    """Seeded weights in float64, and statistics that make every norm count."""
    generator = torch.Generator().manual_seed(0)
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.is_floating_point():
            tensor.data = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.3
    for module in network.modules():
        if getattr(module, "running_var", None) is not None:
            module.running_var.data = module.running_var.abs() + 0.2
    return network


def quick(network: nn.Module, images: Tensor | None = None) -> FoldedNetwork:
    probes = torch.randn(3, 3, 8, 8, dtype=torch.float64) if images is None else images
    with torch.no_grad():
        return folded(copy_of(network).module, class_scores, probes, "exact")


def n_folded(found: FoldedNetwork) -> int:
    return sum(w.norm is not None for w in found.weights)


WAYS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "a pair": (1, lambda: Net(lambda m, x: pooled(m.norm(m.conv(x)).relu()), conv=conv(), norm=norm())),
    "without a bias": (1, lambda: Net(lambda m, x: pooled(m.norm(m.conv(x))), conv=conv(bias=False), norm=norm())),
    "a norm without weights": (
        1,
        lambda: Net(lambda m, x: pooled(m.norm(m.conv(x))), conv=conv(), norm=nn.BatchNorm2d(8, affine=False)),
    ),
    "a skip": (
        2,
        lambda: Net(
            lambda m, x: pooled(m.b(m.second(h := m.a(m.first(x)).relu())) + h),
            first=conv(), a=norm(), second=conv(8), b=norm(),
        ),
    ),
    "grouped": (1, lambda: Net(lambda m, x: pooled(m.norm(m.conv(x))), conv=conv(3, 6, groups=3), norm=norm(6))),
    "depthwise": (1, lambda: Net(lambda m, x: pooled(m.norm(m.conv(x))), conv=conv(3, 3, groups=3), norm=norm(3))),
    "dilated, strided, reflecting": (
        1,
        lambda: Net(
            lambda m, x: pooled(m.norm(m.conv(x))),
            conv=conv(dilation=2, stride=2, padding_mode="reflect"), norm=norm(),
        ),
    ),
    "transposed": (
        1,
        lambda: Net(
            lambda m, x: pooled(m.norm(m.conv(x))), conv=nn.ConvTranspose2d(3, 8, 3, stride=2), norm=norm()
        ),
    ),
    "transposed in groups": (
        2,
        lambda: Net(
            lambda m, x: pooled(m.b(m.second(m.a(m.first(x))))),
            first=conv(3, 4), a=norm(4), second=nn.ConvTranspose2d(4, 6, 3, groups=2), b=norm(6),
        ),
    ),
    "linear": (
        1,
        lambda: Net(lambda m, x: m.norm(m.linear(x.flatten(1))), linear=nn.Linear(192, 5), norm=nn.BatchNorm1d(5)),
    ),
    "as functions": (
        1,
        lambda: Net(
            lambda m, x: pooled(
                F.batch_norm(
                    input=F.conv2d(x, weight=m.conv.weight, bias=None), running_mean=m.norm.running_mean,
                    running_var=m.norm.running_var, eps=0.1,
                )
            ),
            conv=conv(), norm=norm(),
        ),
    ),
    "a convolution used twice": (
        0,
        lambda: Net(lambda m, x: pooled(m.conv(m.norm(m.conv(x)))), conv=conv(3, 3), norm=norm(3)),
    ),
    "a convolution with two norms": (
        0,
        lambda: Net(lambda m, x: pooled(m.a(y := m.conv(x)) * m.b(y)), conv=conv(), a=norm(), b=norm()),
    ),
    "a norm used twice": (
        0,
        lambda: Net(lambda m, x: pooled(m.norm(m.a(x)) * m.norm(m.b(x))), a=conv(), b=conv(), norm=norm()),
    ),
    "what is between is read elsewhere": (
        0,
        lambda: Net(lambda m, x: pooled(m.norm(y := m.conv(x)) + 1e-8 * y), conv=conv(), norm=norm()),
    ),
    "one of two is read elsewhere": (
        1,
        lambda: Net(
            lambda m, x: pooled(m.b(m.second(m.a(y := m.first(x)))) + y),
            first=conv(), a=norm(), second=conv(8), b=norm(),
        ),
    ),
    "what is between is written to": (
        0,
        lambda: Net(
            lambda m, x: (y := m.conv(x), y.__setitem__(0, 1.0), pooled(m.norm(y)))[-1], conv=conv(), norm=norm()
        ),
    ),
    "something between": (0, lambda: Net(lambda m, x: pooled(m.norm(m.conv(x).relu())), conv=conv(), norm=norm())),
    "a norm first": (0, lambda: Net(lambda m, x: pooled(m.conv(m.norm(x))), conv=conv(), norm=norm(3))),
    "a norm over tokens": (
        0,
        lambda: Net(
            lambda m, x: m.norm(m.linear(x.flatten(2))).mean(2), linear=nn.Linear(64, 3), norm=nn.BatchNorm1d(3)
        ),
    ),
    "statistics of the batch": (
        0,
        lambda: Net(
            lambda m, x: pooled(m.norm(m.conv(x))), conv=conv(), norm=nn.BatchNorm2d(8, track_running_stats=False)
        ),
    ),
    "weights that are computed": (
        0,
        lambda: Net(
            lambda m, x: pooled(m.norm(m.conv(x))), conv=nn.utils.parametrizations.weight_norm(conv()), norm=norm()
        ),
    ),
    "a layout that matters": (
        1,
        lambda: Net(lambda m, x: m.norm(m.conv(x)).view(len(x), -1), conv=conv(), norm=norm()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_the_same_scores_to_rounding(name: str) -> None:
    pairs, make = WAYS[name]
    network = randomized(make()).eval()
    result = quick(network)
    assert n_folded(result) == pairs
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(result(images), network(images), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "pairs"), [("resnet18", 20), ("mobilenet_v3_small", 34), ("densenet121", 59)])
def test_real_networks(name: str, pairs: int) -> None:
    network = shaken_statistics(torchvision.models.get_model(name, weights=None)).double().eval()
    images = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    result = quick(network, images)
    assert n_folded(result) == pairs
    with torch.no_grad():
        torch.testing.assert_close(result(2 * images), network(2 * images), rtol=1e-10, atol=1e-10)


def shaken_statistics(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


@pytest.fixture
def network() -> nn.Module:
    return randomized(WAYS["a skip"][1]())


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.float64)


def outputs(network: nn.Module, images: Tensor, count: int, repeats: RunOptions | None = None) -> Tensor:
    """Of ever darker images."""
    engine = InputVariants(copy_of(network), images, class_scores, run_options=repeats or RunOptions())
    return engine.outputs(lambda which: images * (which.to(images) / count)[:, None, None, None, None], count)


def by_hand(network: nn.Module, images: Tensor, count: int) -> Tensor:
    with torch.no_grad():
        calm = copy.deepcopy(network).eval()
        return torch.stack([calm(images * (i / count)) for i in range(count)])


def test_a_network_in_train_mode_stays_as_it_is(network: nn.Module, images: Tensor) -> None:
    network.train()
    before = copy.deepcopy(network.state_dict())
    torch.testing.assert_close(outputs(network, images, 50), by_hand(network, images, 50), rtol=1e-12, atol=1e-12)
    assert all(module.training for module in network.modules())
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_weights_changed_in_place_count_at_once(network: nn.Module, images: Tensor) -> None:
    outputs(network, images, 50)
    with torch.no_grad():
        network.first.weight.mul_(-1.5)
        network.b.weight.add_(1)
        network.a.running_mean.add_(0.3)
    torch.testing.assert_close(outputs(network, images, 50), by_hand(network, images, 50), rtol=1e-12, atol=1e-12)


def test_a_hook_between_convolution_and_norm_takes_effect(network: nn.Module, images: Tensor) -> None:
    network.first.register_forward_hook(lambda module, args, output: output.clamp(min=-0.1))
    result = quick(network, images)
    assert n_folded(result) == 1  # the other pair
    torch.testing.assert_close(outputs(network, images, 50), by_hand(network, images, 50), rtol=1e-12, atol=1e-12)


def test_another_way_through_the_network_is_noticed() -> None:
    """Dark images leave the norm out, which no probe did: they run with the network's own weights."""
    network = randomized(
        Net(lambda m, x: pooled(m.conv(x) if x.abs().max() < 0.5 else m.norm(m.conv(x))), conv=conv(), norm=norm())
    ).eval()
    result, dark = quick(network), torch.full((2, 3, 8, 8), 0.1, dtype=torch.float64)
    assert n_folded(result) == 1
    with torch.no_grad():
        torch.testing.assert_close(result(dark), network(dark), rtol=1e-12, atol=1e-12)


def test_a_fold_that_shows_on_the_probes_is_given_up() -> None:
    """A question that returns no tensor is taken to be about a shape: here only the numbers can tell."""
    network = randomized(
        Net(lambda m, x: pooled(z := m.norm(y := m.conv(x))) + torch.equal(y, z), conv=conv(), norm=norm())
    ).eval()
    assert not quick(network).weights


def test_what_the_network_does_to_its_input_stays_in_the_run(images: Tensor) -> None:
    network = randomized(Net(lambda m, x: pooled(m.norm(m.conv(x.mul_(0.5)))), conv=conv(), norm=norm())).eval()
    before = images.clone()
    got = outputs(network, images, 50)
    torch.testing.assert_close(images, before, rtol=0, atol=0)
    torch.testing.assert_close(got[49], outputs(network, images, 50)[49], rtol=0, atol=0)


def test_few_runs_are_not_folded(network: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("folded")

    monkeypatch.setattr("camlucida.engine.input_variants.folded", refuse)
    outputs(network, images, 31)
    with pytest.raises(AssertionError, match="folded"):
        outputs(network, images, 32)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_batch_is_the_most_that_run_at_once(network: nn.Module, images: Tensor, batch: int) -> None:
    visible: list[int] = []
    network.first.register_forward_hook(lambda module, args, output: visible.append(len(output)))
    got = outputs(network, images, 40, RunOptions(batch_size=batch))
    assert max(visible) == {1: 3, 4: 4, 100: 80}[batch]  # of one at a time the three probes stand out
    torch.testing.assert_close(got, by_hand(network, images, 40), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [10, 50])
def test_bf16_is_near_and_comes_back_in_float32(network: nn.Module, images: Tensor, count: int) -> None:
    network, images = network.float(), images.float()
    rough, exact = (outputs(network, images, count, RunOptions(precision)) for precision in ("bf16", "exact"))
    assert rough.dtype == exact.dtype == torch.float32
    difference = (rough - exact).abs().max() / exact.abs().max()
    assert 1e-5 < difference < 3e-2


def test_maps_in_bf16(network: nn.Module, images: Tensor) -> None:
    network, images = network.float(), images.float()
    rough = cl.attribute(network, images, layer="b", method="score_cam", precision="bf16", target=1)
    exact = cl.attribute(network, images, layer="b", method="score_cam", batch_size=3, target=1)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=5e-2, atol=5e-2 * float(exact.max()))
    assert (rough != exact).any()


def test_refusals(network: nn.Module, images: Tensor) -> None:
    with pytest.raises(MethodError, match="no precision 'bf61'"):
        cl.attribute(network, images, method="occlusion", precision="bf61")  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="integer of at least 1"):
        cl.attribute(network, images, method="occlusion", batch_size=0)
    with pytest.raises(MethodError, match="float64"):
        cl.attribute(network, images, method="occlusion", precision="bf16")
