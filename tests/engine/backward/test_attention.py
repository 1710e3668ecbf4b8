"""Is every attention found, however it is written, without changing a number; and is it known what is read?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of, trace_attention
from camlucida.engine.backward.attention_weights import AttentionWeights
from camlucida.errors import MethodError


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


Q, K, V = draw(2, 4, 5, 6, seed=1), draw(2, 4, 5, 6, seed=2), draw(2, 4, 5, 6, seed=3)
ALLOWED = torch.tensor([[i >= j or (i + j) % 3 == 0 for j in range(5)] for i in range(5)])
NOWHERE = ALLOWED & (torch.arange(5) != 2)[:, None]
FUSED: dict[str, dict[str, Any]] = {
    "plain": {},
    "scale": {"scale": 0.3},
    "causal": {"is_causal": True},
    "bool mask": {"attn_mask": ALLOWED},
    "number mask": {"attn_mask": draw(2, 1, 5, 5)},
    "a row that may look nowhere": {"attn_mask": NOWHERE},
}


def by_hand(attn_mask: Tensor | None = None, is_causal: bool = False, scale: float = 6**-0.5) -> Tensor:
    """The weights, number by number."""
    weights = torch.zeros(2, 4, 5, 5, dtype=torch.float64)
    for b, h, i in ((b, h, i) for b in range(2) for h in range(4) for i in range(5)):
        fit = torch.zeros(5, dtype=torch.float64)
        for j in range(5):
            visible = (
                j <= i if is_causal else attn_mask is None or attn_mask.dtype != torch.bool or bool(attn_mask[i, j])
            )
            added = 0 if attn_mask is None or attn_mask.dtype == torch.bool else attn_mask[b, 0, i, j]
            fit[j] = torch.exp(Q[b, h, i] @ K[b, h, j] * scale + added) if visible else 0
        weights[b, h, i] = fit / fit.sum() if fit.sum() else 0
    return weights


@pytest.mark.parametrize("options", FUSED.values(), ids=FUSED)
def test_the_fused_function(options: dict[str, Any]) -> None:
    with AttentionWeights() as attention:
        out = F.scaled_dot_product_attention(Q, K, V, **options)
    assert_close(out, F.scaled_dot_product_attention(Q, K, V, **options), rtol=0, atol=1e-12)
    (weights,) = attention.attention_weights
    assert_close(weights.detach(), by_hand(**options), rtol=0, atol=1e-12)


def test_the_fused_function_with_shared_keys() -> None:
    keys, values = K[:, :2], V[:, :2]
    with AttentionWeights() as attention:
        out = F.scaled_dot_product_attention(Q, keys, values, enable_gqa=True)
    assert_close(out, F.scaled_dot_product_attention(Q, keys, values, enable_gqa=True), rtol=0, atol=1e-12)
    assert attention.attention_weights[0].shape == (2, 4, 5, 5)


def test_in_half_precision_the_weights_are_exact() -> None:
    q, k, v = (t.bfloat16() for t in (Q, K, V))
    with AttentionWeights() as attention:
        out = F.scaled_dot_product_attention(q, k, v)
    assert (out.dtype, attention.attention_weights[0].dtype) == (torch.bfloat16, torch.float32)
    exact = (q.double() @ k.double().mT * 6**-0.5).softmax(-1)
    assert_close(attention.attention_weights[0].detach().double(), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_autocast_does_not_round_the_weights(dtype: torch.dtype) -> None:
    """The fused function is converted to bfloat16 by autocast; its products and its softmax are not."""
    q, k, v = (t.to(dtype) for t in (Q, K, V))
    with torch.autocast("cpu", torch.bfloat16), AttentionWeights() as attention:
        out = F.scaled_dot_product_attention(q, k, v)
    with torch.autocast("cpu", torch.bfloat16):
        expected = F.scaled_dot_product_attention(q, k, v)
    assert out.dtype == expected.dtype
    assert_close(out, expected, rtol=0, atol=2e-2)
    seen = (q, k) if dtype is torch.float64 else (q.bfloat16().double(), k.bfloat16().double())
    exact = (seen[0] @ seen[1].mT * 6**-0.5).softmax(-1)
    assert_close(attention.attention_weights[0].detach().double(), exact, rtol=0, atol=1e-6)


SOFTMAXES: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.Softmax(-1),
    "F.softmax": lambda x: F.softmax(x, dim=-1),
    "torch.softmax": lambda x: torch.softmax(x, x.ndim - 1),
    "method": lambda x: x.softmax(-1),
    "by name": lambda x: torch.softmax(input=x, dim=-1, dtype=torch.float64),
}


@pytest.mark.parametrize("softmax", SOFTMAXES.values(), ids=SOFTMAXES)
@pytest.mark.parametrize("shape", [(2, 5, 5), (2, 4, 5, 5), (2, 4, 1, 5)], ids=str)
def test_softmaxes(softmax: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    x = draw(*shape)
    with AttentionWeights() as attention:
        out = softmax(x)
    assert torch.equal(out, softmax(x))
    assert [torch.equal(result, out) for result in attention.attention_weights] == [True]


OTHERS: dict[str, Callable[[], Tensor]] = {
    "classes": lambda: draw(5, 5).softmax(-1),
    "classes of boxes": lambda: draw(2, 7, 5).softmax(-1),
    "channels": lambda: draw(2, 5, 5, 5).softmax(1),
    "one position": lambda: draw(2, 3, 1, 1).softmax(-1),
    "log": lambda: draw(2, 5, 5).log_softmax(-1),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_is_no_attention(other: Callable[[], Tensor]) -> None:
    with AttentionWeights() as attention:
        result = other()
    assert torch.equal(result, other())
    assert attention.attention_weights == []


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_multi_head_attention(batch_first: bool, need_weights: bool) -> None:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(12, 3, batch_first=batch_first).double().eval()
    x = draw(2, 5, 12) if batch_first else draw(5, 2, 12)
    expected, weights = module(x, x, x, average_attn_weights=False)
    with AttentionWeights() as attention:
        out, _ = module(x, x, x, need_weights=need_weights)
    assert_close(out, expected, rtol=0, atol=1e-12)
    assert len(attention.attention_weights) == 1
    assert_close(attention.attention_weights[0].detach().reshape(2, 3, 5, 5), weights.detach(), rtol=0, atol=1e-12)


def test_encoder_layers() -> None:
    """PyTorch's own blocks have a fast path that computes all at once."""
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(12, 3, 16, batch_first=True).double().eval()
    x = draw(2, 5, 12)
    with torch.no_grad():
        expected = block(x)
        with AttentionWeights() as attention:
            out = block(x)
    assert_close(out.detach(), expected, rtol=0, atol=1e-12)
    assert len(attention.attention_weights) == 1


# --- networks ---


def scores(output: Tensor) -> Tensor:
    return output


def seeded(network: nn.Module) -> nn.Module:
    """Weights so large that attention differs from token to token, and a head that is not zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.double().parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(drawn * (0.3 if parameter.ndim > 1 else 0.5))
    return network.eval()


def from_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: seeded(timm.create_model(name, img_size=64, num_classes=5, depth=3, **options))


def of_torchvision() -> nn.Module:
    return seeded(torchvision.models.VisionTransformer(64, 16, 3, 3, 48, 96, num_classes=5))


PATCHES = (4, 4)
NETWORKS = {  # network, tokens in front, which tokens are read
    "torchvision": (of_torchvision, 1, [0]),
    "class token": (from_timm("vit_tiny_patch16_224"), 1, [0]),
    "two read tokens": (from_timm("deit_tiny_distilled_patch16_224"), 2, [0, 1]),
    "mean over patches": (from_timm("vit_tiny_patch16_224", global_pool="avg"), 1, list(range(1, 17))),
    "registers": (from_timm("vit_little_patch16_reg4_gap_256"), 4, list(range(4, 20))),
    "rotary": (from_timm("eva02_tiny_patch14_224", patch_size=16, global_pool="token"), 1, [0]),
}


@pytest.fixture(params=[True, False], ids=["fused", "written out"])
def fused(request: pytest.FixtureRequest) -> Any:
    before = timm.layers.use_fused_attn()
    timm.layers.set_fused_attn(request.param)
    yield request.param
    timm.layers.set_fused_attn(before)


@pytest.mark.parametrize(("make", "prefix", "read"), NETWORKS.values(), ids=NETWORKS)
@pytest.mark.usefixtures("fused")
def test_networks(make: Callable[[], nn.Module], prefix: int, read: list[int]) -> None:
    network, images = make(), draw(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        with AttentionWeights() as kept:
            assert_close(network(images).detach(), expected, rtol=1e-12, atol=1e-12)
    assert len(kept.attention_weights) == 3
    result = trace_attention(copy_of(network), images, scores).attention
    heads = result.weights[0].shape[1]
    assert [tuple(w.shape) for w in result.weights] == [(2, heads, prefix + 16, prefix + 16)] * 3
    assert (result.prefix, result.grid, result.image) == (prefix, PATCHES, (64, 64))
    assert result.token_contributions.nonzero().flatten().tolist() == read
    assert_close(result.token_contributions.sum().item(), 1.0)
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


def test_timm_weights_and_gradients_are_those_of_hooks() -> None:
    """The path of the authors: attention written out, and a hook on what comes after the softmax."""
    before = timm.layers.use_fused_attn()
    try:
        timm.layers.set_fused_attn(False)
        network, images = from_timm("vit_tiny_patch16_224")(), draw(2, 3, 64, 64)
        kept: list[Tensor] = []
        for block in network.get_submodule("blocks").children():
            block.get_submodule("attn.attn_drop").register_forward_hook(lambda _, __, out: kept.append(out))
        gradients_ = torch.autograd.grad(network(images)[:, 3].sum(), kept)
        timm.layers.set_fused_attn(True)
        result = trace_attention(copy_of(from_timm("vit_tiny_patch16_224")()), images, scores)
    finally:
        timm.layers.set_fused_attn(before)
    gradients = result.gradients(lambda output: output[:, 3])
    assert len(result.attention.weights) == len(gradients) == len(kept) == 3
    for ours, theirs in zip((*result.attention.weights, *gradients), (*kept, *gradients_), strict=True):
        assert_close(ours, theirs.detach(), rtol=1e-10, atol=1e-12)
    assert min(gradient.abs().max() for gradient in gradients_) > 1e-6


def test_pooling_weights_of_timm_are_those_of_its_formula() -> None:
    """The fused pooling of SigLIP, whose weights timm never returns."""
    network, images = from_timm("vit_base_patch16_siglip_224", embed_dim=48, num_heads=3)(), draw(2, 3, 64, 64)
    kept: list[Tensor] = []
    pool: Any = network.get_submodule("attn_pool")
    handles = [
        getattr(pool, name).register_forward_hook(lambda _, __, out: kept.append(out.detach())) for name in ("q", "kv")
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    queries = kept[0].reshape(2, 1, 3, 16).transpose(1, 2)
    keys = kept[1].reshape(2, 16, 2, 3, 16)[:, :, 0].transpose(1, 2)
    result = trace_attention(copy_of(network), images, scores).attention
    assert len(result.weights) == 3
    assert result.pooling is not None
    assert_close(result.pooling, (queries @ keys.mT / 4).softmax(-1), rtol=1e-10, atol=1e-12)
    assert result.token_contributions.tolist() == [1.0]


def test_pooling_weights_of_transformers_are_those_of_its_module() -> None:
    """A probe in PyTorch's multi-head attention, as SigLIP is written in transformers."""
    transformers: Any = pytest.importorskip("transformers")
    config = transformers.SiglipVisionConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=64, image_size=64, patch_size=16
    )
    network, images = seeded(transformers.SiglipVisionModel(config)), draw(2, 3, 64, 64)
    given: list[Any] = []
    pool: Any = network.get_submodule("head.attention")
    handle = pool.register_forward_pre_hook(lambda _, args, kwargs: given.append((args, kwargs)), with_kwargs=True)
    with torch.no_grad():
        network(images)
        handle.remove()
        (args, kwargs) = given[0]
        _, expected = pool(*args, **kwargs, average_attn_weights=False)
    result = trace_attention(copy_of(network), images, lambda output: output.pooler_output)
    assert [w.shape for w in result.attention.weights] == [(2, 3, 16, 16)] * 2
    assert_close(result.attention.pooling, expected, rtol=1e-10, atol=1e-12)
    gradients = result.gradients(lambda output: output.pooler_output[:, 0])
    assert [gradient.shape for gradient in gradients] == [(2, 3, 16, 16)] * 2 + [(2, 3, 1, 16)]
    assert gradients[-1].abs().max() > 1e-6


class Written(nn.Module):
    """One attention over patches, its weights written to in place; perhaps within a `no_grad` of its own."""

    def __init__(self, own_no_grad: bool = False) -> None:
        super().__init__()
        self.own_no_grad = own_no_grad
        self.stem, self.head = nn.Conv2d(3, 6, 4, stride=4), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.own_no_grad):
            x = self.stem(x).flatten(2).mT
            weights = (x @ x.mT).softmax(-1)
            weights *= 2
            x = weights @ x
        out: Tensor = self.head(x.mean(1))
        return out


def test_weights_that_are_written_to() -> None:
    network, images = seeded(Written()), draw(2, 3, 16, 24)
    result = trace_attention(copy_of(network), images, scores)
    (weights,) = result.attention.weights
    assert (weights.shape, result.attention.grid) == ((2, 1, 24, 24), (4, 6))
    assert_close(weights.sum(-1), torch.ones(2, 1, 24, dtype=torch.float64))
    x = network.get_submodule("stem")(images).flatten(2).mT
    expected = 2 / 24 * torch.einsum("c,bjc->bj", network.get_parameter("head.weight")[1], x)
    (gradient,) = result.gradients(lambda output: output[:, 1])
    assert_close(gradient, expected[:, None, None, :].expand_as(gradient).detach())


def test_a_no_grad_of_the_networks_own() -> None:
    images = draw(2, 3, 16, 24)
    inside, outside = (trace_attention(copy_of(seeded(Written(own))), images, scores) for own in (True, False))
    assert_close(inside.gradients(lambda o: o[:, 1]), outside.gradients(lambda o: o[:, 1]))


def test_nothing_remains_active() -> None:
    def attended() -> Tensor:
        return F.scaled_dot_product_attention(Q, K, V)

    with pytest.raises(KeyError), AttentionWeights():
        raise KeyError
    with AttentionWeights() as attention:
        other = threading.Thread(target=attended)
        other.start()
        other.join()
    attended()
    assert attention.attention_weights == []
    assert not attended().requires_grad


def test_a_mode_of_another_thread_sees_nothing() -> None:
    network, images = of_torchvision(), draw(1, 3, 64, 64)
    expected = attribute(network, images, target=1, method="attention_relevance")
    result: list[Tensor] = []
    threads = [
        threading.Thread(
            target=lambda: result.append(attribute(network, images, target=1, method="attention_relevance"))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [torch.equal(map_, expected) for map_ in result] == [True] * 8


class Channels(nn.Module):
    """Attention between channels, as in XCiT."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 6, 4, stride=4), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2)
        out: Tensor = self.head(((x @ x.mT).softmax(-1) @ x).mean(2))
        return out


class Unread(Written):
    """Its answer does not depend on its attention."""

    def forward(self, x: Tensor) -> Tensor:
        return 0 * super().forward(x)


def swin() -> nn.Module:
    network: nn.Module = torchvision.models.SwinTransformer([4, 4], 12, [1, 1], [2, 4], [4, 4], num_classes=5)
    return network


REFUSED = {
    "windows": (swin, r"SwinTransformer is not supported: it attends within windows: weights 16×2×16×16 for 1 image\."),
    "class attention": (from_timm("cait_xxs24_224"), "1 of its tokens attend to 17 others"),
    "channels": (Channels, "it attends to 6 tokens that are not positions of the image"),
    "nothing": (lambda: nn.Sequential(nn.Conv2d(3, 5, 4), nn.Flatten(), nn.LazyLinear(5)), "no attention at all"),
    "unread": (Unread, "its scores do not depend on the last attention"),
}


@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("method", ["attention_rollout", "attention_relevance"])
def test_refusals(make: Callable[[], nn.Module], why: str, method: str) -> None:
    network, images = make().double().eval(), draw(1, 3, 64, 64)
    network(images)
    with pytest.raises(MethodError, match=rf"{why}.* Use grad_cam"):
        attribute(network, images, target=1, method=method)
