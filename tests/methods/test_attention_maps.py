"""Are attention rollout and attention relevance the papers', token by token?"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods import attention_relevance, attention_rollout
from camlucida.types import Attention


class Tiny(nn.Module):
    """Two blocks of two heads on 2 x 3 patches; `nudges` are added to the weights, so that they have gradients."""

    def __init__(self, read: str) -> None:
        super().__init__()
        self.read = read
        self.stem, self.token = nn.Conv2d(3, 8, 4, stride=4), nn.Parameter(torch.zeros(1, 1, 8))
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(3))
        self.qkv = nn.ModuleList(nn.Linear(8, 24) for _ in range(2))
        self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(8, 9), nn.GELU(), nn.Linear(9, 8)) for _ in range(2))
        self.head = nn.Linear(8, 4)
        self.nudges: Sequence[Tensor] | None = None
        self.seen: list[Tensor] = []

    def tokens(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        for i, (qkv, mlp) in enumerate(zip(self.qkv, self.mlps, strict=True)):
            q, k, v = (part.unflatten(2, (2, 4)).transpose(1, 2) for part in qkv(self.norms[i](x)).chunk(3, -1))
            weights = (q @ k.mT / 2).softmax(-1)
            if self.nudges is not None:
                self.seen.append(weights.detach())
                weights = weights + self.nudges[i]
            x = x + (weights @ v).transpose(1, 2).flatten(2)
            x = x + mlp(x)
        return self.norms[2](x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x)
        out: Tensor = self.head({"class token": x[:, 0], "patches": x[:, 1:].mean(1), "all": x.mean(1)}[self.read])
        return out


READ = {"class token": [0], "patches": [1, 2, 3, 4, 5, 6], "all": [0, 1, 2, 3, 4, 5, 6]}


def tiny(read: str = "class token") -> Tiny:
    return drawn(Tiny(read))


def drawn(network: Tiny) -> Tiny:
    network, generator = network.double().eval(), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


@pytest.fixture
def images() -> Tensor:
    """Two, so that the grid is 2 x 3."""
    return torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


class Pooled(Tiny):
    """The patches and the class token are read by two learned queries, of which the head sums the results."""

    def __init__(self) -> None:
        super().__init__("class token")
        self.queries = nn.Parameter(torch.zeros(1, 2, 2, 4))
        self.kv = nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x)
        keys, values = (part.unflatten(2, (2, 4)).transpose(1, 2) for part in self.kv(x).chunk(2, -1))
        weights = (self.queries.expand(len(x), -1, -1, -1) @ keys.mT / 2).softmax(-1)
        if self.nudges is not None:
            self.seen.append(weights.detach())
            weights = weights + self.nudges[2]
        out: Tensor = self.head((weights @ values).transpose(1, 2).flatten(2).sum(1))
        return out


def run_with_hooks(network: Tiny, images: Tensor, k: int) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and their gradients, by the nudges."""
    network.seen = []
    rows = [7, 7, 2] if isinstance(network, Pooled) else [7, 7]
    network.nudges = [torch.zeros(len(images), 2, n, 7, dtype=torch.float64, requires_grad=True) for n in rows]
    gradients = torch.autograd.grad(network(images)[:, k].sum(), network.nudges)
    network.nudges = None
    return network.seen, list(gradients)


def times(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    return [[sum(a[i][k] * b[k][j] for k in range(7)) for j in range(7)] for i in range(7)]


def eye() -> list[list[float]]:
    return [[float(i == j) for j in range(7)] for i in range(7)]


def reference_rollout(weights: Sequence[Tensor], image: int) -> list[list[float]]:
    """Abnar & Zuidema: A = 0.5 W + 0.5 I; the last block's stands leftmost."""
    rolled = eye()
    for block in weights:
        mean = block[image].mean(0).tolist()
        rolled = times([[0.5 * mean[i][j] + 0.5 * (i == j) for j in range(7)] for i in range(7)], rolled)
    return rolled


def reference_relevance(weights: Sequence[Tensor], gradients: Sequence[Tensor], image: int) -> list[list[float]]:
    """Chefer et al., eq. 5 and 6, from R = I."""
    relevance = eye()
    for a, g in zip(weights, gradients, strict=True):
        positive = [
            [sum(max(0.0, float(g[image, h, i, j] * a[image, h, i, j])) for h in range(2)) / 2 for j in range(7)]
            for i in range(7)
        ]
        more = times(positive, relevance)
        relevance = [[relevance[i][j] + more[i][j] for j in range(7)] for i in range(7)]
    return relevance


def on_image(rows: Sequence[Sequence[float]]) -> Tensor:
    cells = torch.tensor(rows, dtype=torch.float64)[:, 1:].reshape(len(rows), 1, 2, 3)
    return F.interpolate(cells, size=(8, 12), mode="bilinear", align_corners=False)[:, 0]


def mean_row(of: list[list[float]], rows: list[int], less: float = 0.0) -> list[float]:
    return [sum(of[i][j] - less * (i == j) for i in rows) / len(rows) for j in range(7)]


@pytest.mark.parametrize("read", READ)
def test_rollout_equals_the_reference(images: Tensor, read: str) -> None:
    network = tiny(read)
    weights, _ = run_with_hooks(network, images, 0)
    expected = on_image([mean_row(reference_rollout(weights, b), READ[read]) for b in range(2)])
    assert_close(attribute(network, images, method="attention_rollout"), expected)


@pytest.mark.parametrize("read", READ)
def test_relevance_equals_the_reference(images: Tensor, read: str) -> None:
    network = tiny(read)
    maps = []
    for k in range(4):
        weights, gradients = run_with_hooks(network, images, k)
        rows = [mean_row(reference_relevance(weights, gradients, b), READ[read], less=1) for b in range(2)]
        maps.append(attribute(network, images, target=k, method="attention_relevance"))
        assert_close(maps[-1], on_image(rows))
        assert maps[-1].max() > 0
    assert (maps[0] - maps[1]).abs().max() > 1e-3


def pooled_row(pooling: list[list[float]], of: list[list[float]]) -> list[float]:
    """The mean of the two queries' relevance for the tokens."""
    return [sum(pooling[q][k] * of[k][j] for q in range(2) for k in range(7)) / 2 for j in range(7)]


def test_rollout_through_attention_pooling_equals_the_reference(images: Tensor) -> None:
    network = drawn(Pooled())
    (*weights, pooling), _ = run_with_hooks(network, images, 0)
    rows = [pooled_row(pooling[b].mean(0).tolist(), reference_rollout(weights, b)) for b in range(2)]
    given = attribute(network, images, method="attention_rollout")
    assert_close(given, on_image(rows))
    uniform = on_image([mean_row(reference_rollout(weights, b), READ["all"]) for b in range(2)])
    assert (given - uniform).abs().max() > 0.01


def test_relevance_through_attention_pooling_equals_the_reference(images: Tensor) -> None:
    network = drawn(Pooled())
    (*weights, pooling), (*gradients, pooling_gradient) = run_with_hooks(network, images, 1)
    rows = []
    for b in range(2):
        positive = (pooling_gradient[b] * pooling[b]).clamp(min=0).mean(0).tolist()
        rows.append(pooled_row(positive, reference_relevance(weights, gradients, b)))
    assert_close(attribute(network, images, target=1, method="attention_relevance"), on_image(rows))


@pytest.mark.parametrize("fused", [False, True])
def test_timm_equals_the_authors_formula(fused: bool) -> None:
    """On weights from forward hooks behind the softmax, one image after the other, as in their notebook."""
    before = timm.layers.use_fused_attn()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(6), dtype=torch.float64)

    def seeded_module(fused: bool) -> nn.Module:
        torch.manual_seed(0)
        timm.layers.set_fused_attn(fused)
        network: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=(64, 96), num_classes=5)
        with torch.no_grad():
            for parameter in network.parameters():  # as drawn, every token looks everywhere alike
                parameter.mul_(3)
        return network.double().eval()

    try:
        network, ours = seeded_module(False), seeded_module(fused)
    finally:
        timm.layers.set_fused_attn(before)
    kept: list[Tensor] = []
    for block in network.get_submodule("blocks").children():
        block.get_submodule("attn.attn_drop").register_forward_hook(lambda _, __, out: kept.append(out))
    rows = []
    for image in images:
        kept.clear()
        gradients = torch.autograd.grad(network(image[None])[0, 3], kept)
        relevance = rolled = torch.eye(25, dtype=torch.float64)
        for weights, gradient in zip(kept, gradients, strict=True):
            relevance = relevance + (gradient * weights)[0].clamp(min=0).mean(0) @ relevance
            mean = weights[0].mean(0).detach() + torch.eye(25)
            rolled = (mean / mean.sum(-1, keepdim=True)) @ rolled
        rows.append(torch.stack([relevance[0, 1:], rolled[0, 1:]]).detach().reshape(2, 4, 6))
    expected = F.interpolate(torch.stack(rows), size=(64, 96), mode="bilinear", align_corners=False)
    for indices, method in enumerate(["attention_relevance", "attention_rollout"]):
        assert_close(attribute(ours, images, target=3, method=method), expected[:, indices], rtol=1e-10, atol=1e-14)


def test_of_several_tokens_in_front_none_is_on_the_map() -> None:
    """One block that looks at one patch only: the map has its top there, whatever the tokens in front say."""
    weights = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    weights[..., 2 + 5] = 1  # the last of 2 x 3 patches behind two tokens
    read = torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    attention = Attention((weights,), read, 2, (2, 3), (2, 3))
    assert_close(attention_rollout(attention)[0], torch.tensor([[0, 0, 0], [0, 0, 0.5]], dtype=torch.float64))
    gradients = torch.full_like(weights, 3.0)
    expected = torch.tensor([[0, 0, 0], [0, 0, 3.0]], dtype=torch.float64)
    assert_close(attention_relevance(attention, (gradients,))[0], expected)
    assert_close(attention_relevance(attention, (-gradients,))[0], 0 * expected)


def one_block(*heads: list[list[float]]) -> Attention:
    """A class token that looks at two patches."""
    weights = torch.tensor([heads], dtype=torch.float64)
    return Attention((weights,), torch.tensor([1.0, 0, 0], dtype=torch.float64), 1, (1, 2), (1, 2))


HEADS = (
    [[0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]],
    [[0.0, 0.1, 0.9], [0.5, 0.25, 0.25], [0.2, 0.2, 0.6]],
)


@pytest.mark.parametrize(
    ("fuse", "row"),
    [
        ("mean", [0.30 / 2, 0.60 / 2]),
        ("max", [0.5 / 2.6, 0.9 / 2.6]),
        ("min", [0.1 / 1.4, 0.3 / 1.4]),
    ],
)
def test_heads_are_fused(fuse: str, row: list[float]) -> None:
    assert_close(attention_rollout(one_block(*HEADS), fuse=fuse)[0, 0], torch.tensor(row, dtype=torch.float64))


@pytest.mark.parametrize(
    ("discard", "row"),
    [
        (0.4, [0.5 / 1.8, 0.3 / 1.8]),  # three of nine: 0.1, 0.2 and 0.29
        (0.99, [0.0, 0.0]),  # eight of nine: 0.6 of the first patch is left
    ],
)
def test_the_least_weights_are_discarded(discard: float, row: list[float]) -> None:
    head = [[0.2, 0.5, 0.3], [0.1, 0.6, 0.31], [0.29, 0.31, 0.4]]
    result = attention_rollout(one_block(head), discard=discard)[0, 0]
    assert_close(result, torch.tensor(row, dtype=torch.float64))


def test_options_that_do_not_exist(images: Tensor) -> None:
    network = tiny()
    with pytest.raises(MethodError, match=r"fuse is one of mean, max, min .*not 'men'\. Did you mean 'mean'"):
        attribute(network, images, method="attention_rollout", fuse="men")
    with pytest.raises(MethodError, match=r"discard is a number of at least 0 and below 1 .*, not 1"):
        attribute(network, images, method="attention_rollout", discard=1)


def test_class_free() -> None:
    assert attention_rollout.class_free
    assert not attention_relevance.class_free
