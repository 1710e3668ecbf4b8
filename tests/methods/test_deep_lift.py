"""Is it DeepLIFT's Rescale rule, do the shares add up exactly in any network, and does it say where it cannot?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest
from camlucida.errors import MethodError
from camlucida.methods import find
from camlucida.models.model import Model

Make = Callable[..., nn.Module]


def run_method(network: nn.Module, images: Tensor, **options: object) -> tuple[Tensor, dict[str, Tensor]]:
    method = find("deep_lift")
    run = attributions(
        Model(network),
        images,
        AttributionRequest(targets=[2], layers=[None], methods=[(method, method.with_options(options))]),
    )
    return run.maps[0][0][0], dict(run.notes[0][0][0])


def adds_up(network: nn.Module, images: Tensor, **options: object) -> None:
    result, notes = run_method(network, images, **options)
    with torch.no_grad():
        difference = network(images)[:, 2] - notes["baseline_score"]
    assert difference.abs().min() > 1e-3
    assert_close(result.sum((1, 2)), difference, rtol=1e-9, atol=1e-9)
    assert_close(notes["completeness_gap"], torch.zeros_like(difference), rtol=0, atol=1e-9)


def randomized(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in (*network.double().named_parameters(), *network.named_buffers()):
            if tensor.is_floating_point():
                numbers = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.5
                tensor.copy_(numbers.abs() + 0.5 if "running_var" in name else numbers)
    return network.eval()


def reference(network: nn.Module, image: Tensor, k: int) -> Tensor:
    """The paper's chain rule (eq. 3) on `Stacked`, each layer a matrix, each ReLU a diagonal of eq. (Rescale)."""
    layers = [network.features[0], network.rest[0], network.hidden[0], network.hidden[2]]  # type: ignore[index]
    x, x0, multipliers = image[None], torch.zeros_like(image)[None], None
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            x, x0 = x.flatten(1), x0.flatten(1)
        matrix = torch.autograd.functional.jacobian(layer, x).reshape(-1, x.numel())  # type: ignore[no-untyped-call]
        multipliers = matrix if multipliers is None else matrix @ multipliers
        x, x0 = layer(x), layer(x0)
        if i < len(layers) - 1:
            gradient = [
                (max(a, 0.0) - max(b, 0.0)) / (a - b)
                for a, b in zip(x.flatten().tolist(), x0.flatten().tolist(), strict=True)
            ]
            multipliers = torch.tensor(gradient, dtype=torch.float64)[:, None] * multipliers
            x, x0 = x.relu(), x0.relu()
    assert multipliers is not None
    return (multipliers[k].view_as(image) * image).sum(0)


def test_equals_the_reference(stacked: Make, images: Tensor) -> None:
    network = stacked()
    for k in range(4):
        result = attribute(network, images, target=k, method="deep_lift")
        with torch.no_grad():
            assert_close(result, torch.stack([reference(network, image, k) for image in images]))


def test_of_the_papers_example() -> None:
    """Fig. 1: 1 - relu(1 - i1 - i2) is flat at the image, and the gradient says nothing of it."""

    class Saturated(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            one, two = x.flatten(1).unbind(1)
            return (1 - F.relu(1 - one - two))[:, None]

    x = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    assert attribute(Saturated(), x, target=0, method="gradient").abs().max() == 0
    result = attribute(Saturated(), x, target=0, method="deep_lift")
    assert_close(result, torch.full((1, 1, 2), 0.5, dtype=torch.float64))


class Mixed(nn.Module):
    """Skips, ReLUs as functions, in place, one module used thrice, batch norm, overlapping windows of a max pool."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.one, self.two, self.head = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.norm(self.stem(x))))
        y = self.two(F.relu(self.one(x), inplace=True))
        y += x
        x = self.relu(y)
        x = x + self.relu(self.one(x)).clamp(max=2)
        x.relu_()
        out: Tensor = self.head(x.amax((2, 3)) + F.adaptive_max_pool2d(x, 1).flatten(1))
        return out


class Block(nn.Module):
    """Attention, gates, norms of all kinds, quotients: what is no paper's rule."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.stem, self.kind = nn.Conv2d(3, 8, 2, stride=2), kind
        self.layer, self.group, self.head = nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.Linear(8, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        tokens = x.flatten(2).mT
        steps: dict[str, Callable[[], Tensor]] = {
            "attention": lambda: self.attention(tokens, tokens, tokens, need_weights=False)[0],
            "attention, weights": lambda: self.attention(tokens, tokens, tokens)[0],
            "causal": lambda: F.scaled_dot_product_attention(tokens, 2 * tokens, tokens, is_causal=True),
            "layer norm": lambda: self.layer(tokens),
            "group norm": lambda: F.gelu(self.group(x)).flatten(2).mT,
            "instance norm": lambda: F.instance_norm(x).sigmoid().flatten(2).mT,
            "rms norm": lambda: F.rms_norm(tokens, [8]),
            "normalize": lambda: F.normalize(tokens, dim=-1),
            "gate": lambda: tokens * tokens.mean(1, keepdim=True).sigmoid(),
            "quotient": lambda: tokens / (1 + tokens.abs()) - 1 / (3 + tokens**2),
            "signs": lambda: torch.tanh(tokens) / tokens.flip(1),
            "log softmax": lambda: F.log_softmax(tokens, -1) + torch.einsum("btc,bsc->bts", tokens, tokens)[..., :8],
            "mask": lambda: tokens.masked_fill(torch.arange(8) > 5, -torch.inf).softmax(-1) * 3,
            "hardswish": lambda: F.hardswish(tokens) + F.mish(tokens) + F.elu(tokens) + F.relu6(tokens),
        }
        out: Tensor = self.head(steps[self.kind]().mean(1))
        return out


KINDS = [
    *(
        "attention",
        "attention, weights",
        "causal",
        "layer norm",
        "group norm",
        "instance norm",
        "rms norm",
        "normalize",
    ),
    *("gate", "quotient", "signs", "log softmax", "mask", "hardswish"),
]


@pytest.mark.parametrize("baseline", ["mean", "noise"])
def test_adds_up_with_skips_and_relus_of_all_kinds(images: Tensor, baseline: str) -> None:
    adds_up(randomized(Mixed()), images, baseline=baseline, seed=2)


@pytest.mark.parametrize("kind", KINDS)
def test_adds_up_in(kind: str, images: Tensor) -> None:
    adds_up(randomized(Block(kind)), images)


def test_a_flat_baseline_does_not_explode_in_a_norm(images: Tensor) -> None:
    """Without biases the mean image has no spread at all, and 1 / sigma is 316 there."""
    network = randomized(Block("layer norm"))
    nn.init.zeros_(network.stem.bias)  # type: ignore[arg-type, union-attr]
    result, notes = run_method(network.float(), images.float())
    assert result.abs().max() < 10
    assert notes["completeness_gap"].abs().max() < 1e-5


def test_an_image_equal_to_its_baseline_has_no_contributions(stacked: Make) -> None:
    result, notes = run_method(stacked(), torch.zeros(1, 3, 6, 10, dtype=torch.float64))
    assert result.abs().max() == 0
    assert notes["completeness_gap"].abs().max() == 0


def test_a_network_that_takes_another_path_is_refused(images: Tensor) -> None:
    class Forked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)[:, :4]
            return flat.relu() if bool((flat == 0).all()) else flat.relu().sigmoid()

    class Longer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)[:, :4].relu()
            return flat.sigmoid() if bool((flat == 0).all()) else flat

    with pytest.raises(MethodError, match=r"Forked takes different paths: sigmoid of 2×4 on the image, "):
        attribute(Forked(), images, target=2, method="deep_lift")
    with pytest.raises(MethodError, match=r"Longer takes different paths: nothing on the image, sigmoid of 2×4 on"):
        attribute(Longer(), images, target=2, method="deep_lift")
