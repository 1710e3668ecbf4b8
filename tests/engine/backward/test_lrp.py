"""Does relevance go by the rule's formula through every kind of function, and is none lost without a word?

The reference implementation writes a linear layer as the Jacobian matrix from autograd, and the rule as sums over its
entries.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.engine import copy_of
from camlucida.engine.backward.lrp import RULES, LrpRun, RelevanceMode, RelevanceRule, register_reader
from camlucida.errors import LayerError, MethodError

EPSILON, GAMMA = 1e-3, 0.4


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded_module(module: nn.Module, seed: int = 7) -> Any:
    """In float64 and eval mode, all its tensors drawn."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (*module.double().named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point():
                drawn = 0.5 * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else drawn)
    return module.eval().requires_grad_(False)


def back(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], relevance: Tensor, rule: str = "epsilon"
) -> list[Tensor]:
    """What our backward pass makes of `relevance`, at every input."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    with RelevanceMode(RelevanceRule(rule, EPSILON, GAMMA), None):
        out = function(*leaves)
    norms(out)
    return list(torch.autograd.grad(out, leaves, relevance, materialize_grads=True))


def norms(out: Tensor) -> None:
    """What `Relevances` does before it propagates: find the norms that are of one with the layer before."""
    nodes = [out.grad_fn]
    for node in nodes:
        for following, _ in node.next_functions:  # type: ignore[union-attr]
            register_reader(node, following)
            if following is not None and following not in nodes:
                nodes.append(following)


def reference(matrix: Tensor, bias: Tensor, x: Tensor, relevance: Tensor, rule: str) -> tuple[Tensor, Tensor]:
    """(fractions of the inputs, fraction of the bias): by the formula, one outcome after the other."""
    result, kept = torch.zeros_like(x), torch.zeros(())
    for w, b, r in zip(matrix, bias, relevance, strict=True):
        parts, own = w * x, b
        z = parts.sum() + own
        if rule == "z_plus":
            parts, own = parts.clamp(min=0), own.clamp(min=0)
        if rule == "gamma" and z > 0:
            parts, own = parts + GAMMA * parts.clamp(min=0), own + GAMMA * own.clamp(min=0)
        if rule == "gamma" and z < 0:
            parts, own = parts + GAMMA * parts.clamp(max=0), own + GAMMA * own.clamp(max=0)
        total = parts.sum() + own
        total = total + (EPSILON if total >= 0 else -EPSILON)
        result, kept = result + parts / total * r, kept + own / total * r
    return result, kept


def as_matrix(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """(matrix, bias) of what is affine near x."""
    matrix = jacobian(function, x).reshape(-1, x.numel())
    return matrix, function(x).flatten() - matrix @ x.flatten()


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Linear(5, 4), (3, 5)),
    "linear on tokens": (nn.Linear(5, 4), (2, 3, 5)),
    "linear without bias": (nn.Linear(5, 4, bias=False), (2, 5)),
    "conv1d": (nn.Conv1d(3, 4, 3, padding=1), (2, 3, 5)),
    "conv2d": (nn.Conv2d(2, 4, 3, stride=2, padding=1), (2, 2, 5, 4)),
    "conv2d by groups": (nn.Conv2d(4, 4, 3, groups=2, dilation=2, padding=2), (1, 4, 4, 4)),
    "conv2d reflecting": (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), (1, 2, 4, 4)),
    "transposed conv2d": (nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 2, 3, 2)),
    "conv2d and norm": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)), (2, 2, 4, 4)),
    "conv2d without bias and norm": (nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)), (2, 2, 4, 4)),
    "linear and norm": (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (2, 4)),
}


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z_plus"])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "positive"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_with_weights(name: str, signed: bool, rule: str) -> None:
    layer, shape = LAYERS[name]
    layer, x = seeded_module(layer), numbers(*shape, seed=1)
    x = x if signed else x.abs()
    out = layer(x)
    relevance = numbers(*out.shape, seed=2)
    (result,) = back(layer, (x,), relevance, rule)
    if name == "conv2d reflecting":  # the matrix has both copies of a pixel in one entry, the padded image has not
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        inner = lambda p: F.conv2d(p, layer.weight, layer.bias)  # noqa: E731
        shares, _ = reference(*as_matrix(inner, padded), padded.flatten(), relevance.flatten(), rule)
        copies = padded.clone().requires_grad_()
        pixels = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(F.pad(pixels, (1, 1, 1, 1), mode="reflect"), pixels, shares.view_as(copies))
    else:
        expected = reference(*as_matrix(layer, x), x.flatten(), relevance.flatten(), rule)[0].view_as(x)
    assert_close(result, expected)


def test_composite_takes_each_layer_by_its_kind() -> None:
    conv, dense, x = seeded_module(nn.Conv2d(2, 3, 3)), seeded_module(nn.Linear(5, 4)), numbers(1, 2, 4, 4)
    assert_close(back(conv, (x,), numbers(1, 3, 2, 2), "composite"), back(conv, (x,), numbers(1, 3, 2, 2), "z_plus"))
    flat = numbers(2, 5)
    assert_close(back(dense, (flat,), numbers(2, 4), "composite"), back(dense, (flat,), numbers(2, 4), "epsilon"))


def test_the_first_layer_distributes_relevance_evenly() -> None:
    """Also where the network itself pools the image before; and only the first. Padding gets nothing."""
    network = seeded_module(nn.Sequential(nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(2, 4, 3)))
    network.insert(0, nn.AvgPool2d(1))
    images = numbers(2, 3, 7, 7)
    result, _ = relevances(network, images, read=lambda o: o.mean((2, 3))).propagate(lambda y: y[:, 1])
    middle = network[1](images).relu()
    rest, _ = relevances(network[3], middle, read=lambda o: o.mean((2, 3)), from_input=False).propagate(
        lambda y: y[:, 1]
    )
    expected = torch.zeros_like(images)
    for b in range(2):
        for c in range(2):
            for i in range(4):
                for j in range(4):
                    rows, columns = [[p for p in range(2 * q - 1, 2 * q + 2) if 0 <= p < 7] for q in (i, j)]
                    share = rest[b, c, i, j] / (3 * len(rows) * len(columns))
                    for p in rows:
                        for q in columns:
                            expected[b, :, p, q] += share
    assert_close(result, expected)


def relevances(
    network: nn.Module,
    images: Tensor,
    rule: str = "composite",
    read: Any = None,
    from_input: bool = True,
    eps: float = 1e-9,
) -> LrpRun:
    if not from_input:  # a layer before, so that what follows is not the first
        return relevances(_Held(network), images, rule, read, eps=eps)
    return LrpRun(copy_of(network), images, read or (lambda o: o), RelevanceRule(rule, eps, GAMMA))


class _Held(nn.Module):
    """Goes on from values that no longer are the raw image: a matrix was put to them."""

    def __init__(self, rest: nn.Module) -> None:
        super().__init__()
        self.rest = rest

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rest(x @ torch.eye(x.shape[-1]).to(x))
        return out


# --- everything else ---

X = numbers(2, 4, 3, seed=3)
Y = numbers(2, 4, 3, seed=4)


def by_matrix(function: Callable[[Tensor], Tensor], x: Tensor, relevance: Tensor) -> Tensor:
    return reference(*as_matrix(function, x), x.flatten(), relevance.flatten(), "epsilon")[0].view_as(x)


LINEAR: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(1),
    "sum": lambda x: x.sum((1, 2)),
    "sum of two uses": lambda x: x[:, :2] + x[:, 2:],
    "average pooling": lambda x: F.avg_pool1d(x, 2, padding=1),
    "adaptive average pooling": lambda x: F.adaptive_avg_pool1d(x, 2),
    "interpolation": lambda x: F.interpolate(x, size=5, mode="linear"),
    "plus a constant": lambda x: x + Y,
    "constant less": lambda x: 1 - x,
    "constant matrix": lambda x: x @ numbers(3, 2),
    "matrix before": lambda x: numbers(2, 4) @ x,
    "einsum": lambda x: torch.einsum("bij,jk->bik", x, numbers(3, 2)),
    "addmm": lambda x: torch.addmm(numbers(2), x[0], numbers(3, 2)),
    "batch norm alone": seeded_module(nn.BatchNorm1d(4)),
    "in place": lambda x: (x * 1).add_(Y),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_functions_distribute_relevance_in_proportion(name: str) -> None:
    function = LINEAR[name]
    relevance = numbers(*function(X).shape, seed=5)
    assert_close(back(function, (X,), relevance)[0], by_matrix(function, X, relevance))


@pytest.mark.parametrize(
    ("norm", "dims"),
    [
        (nn.LayerNorm(3), (2,)),
        (nn.LayerNorm((4, 3)), (1, 2)),
        (nn.LayerNorm(3, elementwise_affine=False), (2,)),
        (nn.InstanceNorm1d(4, affine=True), (2,)),
        (nn.GroupNorm(2, 4), None),
    ],
    ids=["layer", "layer over two axes", "layer without weights", "instance", "group"],
)
def test_norms_hold_their_spread(norm: nn.Module, dims: tuple[int, ...] | None) -> None:
    norm = seeded_module(norm)
    grouped = X.view(2, 2, 2, 3)
    var = (
        grouped.var((2, 3), unbiased=False, keepdim=True).expand(2, 2, 2, 3).reshape(2, 4, 3)
        if dims is None
        else X.var(dims, unbiased=False, keepdim=True).expand_as(X)
    )

    def straight(x: Tensor) -> Tensor:
        mean = (
            x.view(2, 2, 2, 3).mean((2, 3), keepdim=True).expand(2, 2, 2, 3).reshape(2, 4, 3)
            if dims is None
            else x.mean(dims, keepdim=True)
        )
        out = (x - mean) / (var + norm.eps).sqrt()
        if norm.weight is None:
            return out
        shape = (1, -1, 1) if isinstance(norm, nn.GroupNorm | nn.InstanceNorm1d) else norm.weight.shape
        return out * norm.weight.view(shape) + norm.bias.view(shape)

    assert_close(straight(X), norm(X))
    relevance = numbers(2, 4, 3, seed=5)
    assert_close(back(norm, (X,), relevance)[0], by_matrix(straight, X, relevance))


def test_rms_norm_passes_all() -> None:
    relevance = numbers(2, 4, 3, seed=5)
    z = F.rms_norm(X, (3,))
    assert_close(back(lambda x: F.rms_norm(x, (3,)), (X,), relevance)[0], relevance * z / (z + EPSILON * z.sign()))


def forgotten(x: Tensor) -> Tensor:
    x = x * 1
    x.relu_()
    return x


PASSING: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": nn.ReLU(),
    "ReLU in place": lambda x: F.relu(x * 1, True),
    "ReLU in place, forgotten": forgotten,
    "GELU": F.gelu,
    "SiLU": nn.SiLU(),
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "clamp": lambda x: x.clamp(0, 6),
    "PReLU": seeded_module(nn.PReLU()),
    "times a constant": lambda x: 3 * x * Y,
    "over a constant": lambda x: x / Y,
    "minus": lambda x: -x,
    "square": lambda x: x * x,
    "SiLU by hand": lambda x: x * x.sigmoid(),
    "GELU by hand": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "hardswish by hand": lambda x: x * F.relu6(x + 3) / 6,
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "over its length": lambda x: x / x.norm(dim=-1, keepdim=True),
    "normalized": lambda x: F.normalize(x, dim=-1),
    "gated by its mean": lambda x: x * (1 + x.mean((1, 2), keepdim=True)),
    "gated": lambda x: x * torch.sigmoid(x @ numbers(3, 3)),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_all(name: str) -> None:
    relevance = numbers(2, 4, 3, seed=5)
    assert_close(back(PASSING[name], (X,), relevance)[0], relevance)


def test_a_gate_gets_nothing_and_two_equals_half_each() -> None:
    relevance = numbers(2, 4, 3, seed=5)
    squeezed = numbers(2, 1, 3)
    assert_close(back(lambda x, y: x * (y * 2), (X, squeezed), relevance), [relevance, torch.zeros_like(squeezed)])
    signal, gate = back(lambda x, y: x * y.sigmoid(), (X, Y), relevance)
    assert_close(signal, relevance)
    assert_close(gate, torch.zeros_like(gate))
    halves = back(lambda x, y: x * y, (X, Y), relevance)
    assert_close(halves, [relevance / 2, relevance / 2])


def test_two_summands_get_relevance_in_proportion() -> None:
    relevance = numbers(2, 4, 3, seed=5)
    z = X + Y
    expected = [t / (z + EPSILON * z.sign()) * relevance for t in (X, Y)]
    assert_close(back(lambda x, y: x + y, (X, Y), relevance), expected)
    assert_close(back(lambda x, y: x - (-y), (X, Y), relevance), expected)

    def in_place(x: Tensor, y: Tensor) -> Tensor:
        x = x * 1
        x += y
        return x

    assert_close(back(in_place, (X, Y), relevance), expected)


def test_max_pooling_pays_the_winner() -> None:
    x = torch.tensor([[[1.0, 4.0, 2.0, 3.0]]], dtype=torch.float64)
    (result,) = back(lambda x: F.max_pool1d(x, 2), (x,), torch.tensor([[[5.0, 7.0]]], dtype=torch.float64))
    assert result.tolist() == [[[0, 5, 0, 7]]]


def test_a_norm_is_folded_only_where_it_alone_reads_the_layer() -> None:
    conv, norm = seeded_module(nn.Conv1d(4, 4, 1)), seeded_module(nn.BatchNorm1d(4))
    relevance = numbers(2, 4, 3, seed=5)

    def both(x: Tensor) -> Tensor:
        z = conv(x)
        return norm(z) + z

    (result,) = back(both, (X,), relevance, "z_plus")
    z, n = conv(X), norm(conv(X))
    at_norm, at_z = (t / (z + n + EPSILON * (z + n).sign()) * relevance for t in (n, z))
    at_z = at_z + by_matrix(norm, z, at_norm)
    expected = reference(*as_matrix(conv, X), X.flatten(), at_z.flatten(), "z_plus")[0]
    assert_close(result, expected.view_as(X))


# --- attention ---


class Attention(nn.Module):
    """By hand, fused, or as PyTorch's module: the same numbers."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.inner = how, nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        m = self.inner
        if self.how == "module":
            out: Tensor = m(x, x, x, need_weights=False)[0]
            return out
        projected = F.linear(x, m.in_proj_weight, m.in_proj_bias).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (2, 3)).transpose(1, 2) for t in projected)
        if self.how == "fused":
            heads = F.scaled_dot_product_attention(q, k, v)
        else:
            heads = (q @ k.mT / 3**0.5).softmax(-1) @ v
        joined: Tensor = m.out_proj(heads.transpose(1, 2).flatten(2))
        return joined


@pytest.mark.parametrize("how", ["module", "fused", "by hand"])
def test_attention_holds_its_weights(how: str) -> None:
    """The values' dense layer, the weighted mean of values, the dense layer at the end: three matrices."""
    attention, x = seeded_module(Attention(how)), numbers(2, 4, 6)
    m = attention.inner
    relevance = numbers(2, 4, 6, seed=5)
    (result,) = back(attention, (x,), relevance)
    _, weights = m(x, x, x, average_attn_weights=False)

    def values(x: Tensor) -> Tensor:
        return F.linear(x, m.in_proj_weight[12:], m.in_proj_bias[12:])

    def mixed(v: Tensor) -> Tensor:
        return (weights @ v.unflatten(-1, (2, 3)).transpose(1, 2)).transpose(1, 2).flatten(2)

    assert_close(m.out_proj(mixed(values(x))), m(x, x, x)[0])
    v, h = values(x), mixed(values(x))
    expected = by_matrix(values, x, by_matrix(mixed, v, by_matrix(m.out_proj, h, relevance)))
    assert_close(result, expected)


# --- whole networks ---


class Net(nn.Module):
    """Shortcuts, pooling of both kinds, a concatenation, squeeze-excitation and norms; biases if wanted."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1, bias=bias)
        self.two = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.gate = nn.Conv2d(4, 4, 1, bias=bias)
        self.three = nn.Conv2d(8, 5, 3, stride=2, bias=bias)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(20, 6, bias=bias), nn.ReLU(), nn.Linear(6, 3, bias=bias))
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x), inplace=True)
        y = self.norm(self.two(x))
        y += x
        y = y.relu_()
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        y = F.max_pool2d(torch.cat([y, F.avg_pool2d(x, 3, 1, 1)], 1), 2)
        out: Tensor = self.head(F.relu(F.adaptive_avg_pool2d(self.three(F.pad(y, (1, 1, 1, 1))), 2)))
        return out


def net(bias: bool) -> nn.Module:
    network = seeded_module(Net(bias), seed=3)
    if not bias:
        network.norm.bias.zero_()
        network.norm.running_mean.zero_()
    return network  # type: ignore[no-any-return]


@pytest.mark.parametrize("rule", RULES)
def test_without_biases_nothing_is_lost(rule: str) -> None:
    network, images = net(bias=False), numbers(2, 3, 12, 10, seed=8)
    for k in range(3):
        result, initial_total = relevances(network, images, rule, eps=1e-15).propagate(lambda y, k=k: y[:, k])  # type: ignore[misc]
        assert_close(initial_total, network(images)[:, k])
        assert_close(result.sum((1, 2, 3)), initial_total, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_transformers_without_biases_lose_nothing(rule: str) -> None:
    network = seeded_module(nn.Sequential(nn.Linear(6, 6, bias=False), Attention("fused"), nn.RMSNorm(6), nn.GELU()))
    network[1].inner.in_proj_bias.zero_()
    network[1].inner.out_proj.bias.zero_()
    images = numbers(2, 5, 6)
    result, initial_total = relevances(network, images, rule, read=lambda o: o.sum(1), eps=1e-15).propagate(
        lambda y: y[:, 0]
    )
    if rule in ("composite", "epsilon"):
        assert_close(result.sum((1, 2)), initial_total, rtol=1e-8, atol=1e-12)
    else:
        assert result.isfinite().all()


def test_epsilon_towards_0_is_input_times_gradient() -> None:
    """In a network of ReLUs without biases; squeeze-excitation apart, whose gate has a gradient of its own."""
    network = seeded_module(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2, bias=False), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3, bias=False),
        )
    )  # fmt: skip
    images = numbers(2, 3, 10, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(network(images)[:, 2].sum(), images)
    result, _ = relevances(network, images.detach(), "epsilon", eps=0).propagate(lambda y: y[:, 2])
    assert_close(result, images.detach() * gradient)


def test_gamma_between_epsilon_and_z_plus() -> None:
    """0 is epsilon; without end, for positive outcomes, z+."""
    layer, x = seeded_module(nn.Linear(6, 5)), numbers(2, 6)
    relevance = numbers(2, 5, seed=5) * (layer(x) > 0)

    def at(rule: str, gamma: float) -> Tensor:
        leaf = x.clone().requires_grad_()
        with RelevanceMode(RelevanceRule(rule, 0, gamma), None):
            out = layer(leaf)
        return torch.autograd.grad(out, leaf, relevance)[0]

    assert_close(at("gamma", 0), at("epsilon", 0))
    assert_close(at("gamma", 1e9), at("z_plus", 0), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "z_plus"])
def test_with_biases_they_hold_what_is_missing(rule: str) -> None:
    """Layer by layer in matrices, with what the biases keep counted."""
    network = seeded_module(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)))
    image = numbers(1, 2, 4, 4)
    hidden = network[:3](image)
    y = network(image)
    start = torch.zeros(3, dtype=torch.float64)
    start[1] = y[0, 1]
    at_hidden, kept_above = reference(*as_matrix(network[3], hidden), hidden.flatten(), start, rule)
    expected, kept_below = reference(*as_matrix(network[0], image), image.flatten(), at_hidden, rule)
    result, initial_total = relevances(network, image, rule, eps=EPSILON).propagate(lambda y: y[:, 1])
    assert_close(result.flatten(), expected)
    assert abs(kept_above) + abs(kept_below) > 0.1 * abs(initial_total)  # else there is nothing to see
    stabilised = 2 * 2 * EPSILON * 30  # what epsilon itself takes is small
    assert_close(result.sum() + kept_above + kept_below, initial_total.sum(), rtol=0, atol=stabilised)


def test_where_it_begins() -> None:
    network, images = net(bias=True), numbers(2, 3, 12, 10, seed=8)
    propagated = relevances(network, images, "z_plus")
    y = network(images)
    one, other = (propagated.propagate(lambda y, k=k: y[:, k])[0] for k in (0, 2))  # type: ignore[misc]
    result, initial_total = propagated.propagate(lambda y: y[:, 0] - y[:, 2])
    assert_close(result, one - other)
    assert_close(initial_total, y[:, 0] - y[:, 2])
    contrast, initial_total = propagated.propagate(lambda y: y[:, 0], contrast=True)
    shares = [propagated.propagate(lambda y, k=k: y[:, k])[0] / y[:, k, None, None, None] for k in range(3)]  # type: ignore[misc]
    assert_close(contrast, y[:, 0, None, None, None] * (shares[0] - (shares[1] + shares[2]) / 2))
    assert_close(initial_total, torch.zeros(2, dtype=torch.float64))


# --- what no rule is known for ---


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * 2


class Doing(nn.Module):
    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.what = seeded_module(nn.Linear(4, 4)), what

    def forward(self, x: Tensor) -> Tensor:
        return self.what(self.linear(x))


UNKNOWN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a mixing function": (lambda x: torch.logcumsumexp(x, 1), "relevance reached .*logcumsumexp"),
    "in place": (lambda x: x.cumprod_(1), "relevance reached .*cumprod_"),
    "log-softmax": (lambda x: x.log_softmax(1), "relevance reached .*log_softmax"),
    "two that are multiplied": (lambda x: x @ x[:2].T, "relevance reached .*matmul"),
    "several outputs": (lambda x: torch.linalg.qr(x)[0], "relevance reached .*qr"),
    "a function of its own": (Own.apply, "computes Own in compiled code or in its own autograd function"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_function_without_a_rule_is_named(name: str) -> None:
    what, message = UNKNOWN[name]
    with pytest.raises(MethodError, match=message):
        relevances(Doing(what), numbers(2, 4)).propagate(lambda y: y[:, 0])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_scripted_code_is_named() -> None:
    def silu(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    with pytest.raises(MethodError, match="in compiled code"):
        relevances(Doing(torch.jit.script(silu)), numbers(2, 4))


def test_where_no_relevance_goes_no_rule_is_missed() -> None:
    network = Doing(lambda x: x * torch.sigmoid(torch.logcumsumexp(x, 1)))
    result, _ = relevances(network, numbers(2, 4)).propagate(lambda y: y[:, 0])
    assert result.isfinite().all()


def test_a_softmax_at_the_end_is_named() -> None:
    with pytest.raises(LayerError, match=r"only through a softmax.*Explain the logits"):
        relevances(Doing(lambda x: x.softmax(-1)), numbers(2, 4))


@pytest.mark.parametrize(("wrong", "message"), [
    (("gama", 0.0, 0.0), "no rule 'gama'. Did you mean 'gamma'"),
    (("gamma", -1.0, 0.0), "finite numbers of at least 0"),
    (("gamma", 0.0, float("nan")), "finite numbers of at least 0"),
])  # fmt: skip
def test_wrong_rules(wrong: tuple[str, float, float], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        RelevanceRule(*wrong)


# --- nothing is left behind ---


def test_networks_in_half_precision_propagate_in_float32() -> None:
    network, images = net(bias=True), numbers(2, 3, 12, 10, seed=8)
    rounded = network.bfloat16().double()
    exact, _ = relevances(rounded, images.bfloat16().double(), "gamma", eps=1e-6).propagate(lambda y: y[:, 1])
    half = network.bfloat16()
    result, initial_total = relevances(half, images.bfloat16(), "gamma", eps=1e-6).propagate(lambda y: y[:, 1])
    assert result.dtype == initial_total.dtype == torch.float32
    assert_close(result, exact.float(), rtol=1e-3, atol=1e-5)


def test_other_threads_and_later_runs_see_nothing() -> None:
    def gradient() -> Tensor:
        x = X.clone().requires_grad_()
        return torch.autograd.grad(F.gelu(x).sum(), x)[0]

    plain = gradient()
    with RelevanceMode(RelevanceRule(), None), ThreadPoolExecutor(1) as pool:
        assert_close(pool.submit(gradient).result(), plain, rtol=0, atol=0)
    network = net(bias=True)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    for _ in range(2):
        relevances(network, numbers(2, 3, 12, 10)).propagate(lambda y: y[:, 0])
    assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert_close(gradient(), plain, rtol=0, atol=0)


def test_a_callers_autocast_does_not_round_the_relevance() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten())
    network = nn.Sequential(network, nn.Linear(72, 5)).eval()
    images = torch.randn(1, 3, 15, 15)
    expected = attribute(network, images, target=1, method="lrp", signed=True)
    with torch.autocast("cpu", torch.bfloat16):
        maps = attribute(network, images, target=1, method="lrp", signed=True)
    assert torch.equal(maps, expected)
