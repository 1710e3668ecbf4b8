"""Layer-wise relevance propagation on the battery's networks, by hand: value times a gradient made to measure.

No function here has its own backward pass. Where a rule is not the gradient's, the output is written as something that
has the right value, and whose ordinary gradient is the rule's: that of z+ times the constant z / (z+ + epsilon).
Relevance anywhere is then the value there times its gradient. Each network is written out once more, so that it can
begin at its first convolution or at `layer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6


def like(value: Tensor, made: Tensor, epsilon: float = EPSILON) -> Tensor:
    """`value`, with the gradient of `made` times value / made, stabilised."""
    factor = value / (made + epsilon * (1 - 2.0 * (made < 0)))
    return value.detach() + (made - made.detach()) * factor.detach()


def stabilized(z: Tensor) -> Tensor:
    """A linear outcome, by epsilon."""
    return like(z, z)


def z_plus_relevance(x: Tensor, weight: Tensor, bias: Tensor | None, op: Callable[..., Tensor]) -> Tensor:
    """What supports an outcome alone, the value being that of all."""
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    above = op(x * (x > 0), up) + op(x * (x < 0), down)
    if bias is not None:
        above = above + bias.clamp(min=0).view(-1, *[1] * (weight.ndim - 2))
    return like(op(x, weight, bias), above)


def conv_relevance(conv: Any, x: Tensor, norm: Any = None) -> Tensor:
    """A convolution by z+, with a batch norm after it as one layer."""
    weight, bias = conv.weight, conv.bias
    if norm is not None:
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight, bias = weight * scale[:, None, None, None], norm.bias + (bias - norm.running_mean) * scale
    return z_plus_relevance(x, weight, bias, lambda x, w, b=None: F.conv2d(x, w, b, conv.stride, conv.padding))


def dense_relevance(linear: Any, x: Tensor, rule: str) -> Tensor:
    if rule == "composite":
        return stabilized(F.linear(x, linear.weight, linear.bias))
    up = F.linear(x * (x > 0), linear.weight.clamp(min=0)) + F.linear(x * (x < 0), linear.weight.clamp(max=0))
    return like(F.linear(x, linear.weight, linear.bias), up + linear.bias.clamp(min=0))


def pass_relevance(value: Tensor, x: Tensor) -> Tensor:
    """An activation: all of its relevance is its input's."""
    return like(value, x, 0)


def norm_relevance(norm: Any, x: Tensor) -> Tensor:
    spread = (x.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt().detach()
    return stabilized((x - x.mean(-1, keepdim=True)) / spread * norm.weight + norm.bias)


def plain_rest(n: Any, a: Tensor, rule: str) -> Tensor:
    return dense_relevance(n.head, stabilized(a.mean((2, 3))), rule)


def plain_middle(n: Any, stem: Tensor) -> Tensor:
    return conv_relevance(n.layer[0], stem.relu(), n.layer[1]).relu()


def skip_middle(n: Any, stem: Tensor) -> tuple[Tensor, Tensor]:
    x = stem.relu()
    return conv_relevance(n.layer, conv_relevance(n.one, x).relu()), x


def skip_rest(n: Any, a: Tensor, x: Tensor, rule: str) -> Tensor:
    y = F.adaptive_max_pool2d(stabilized(a + x).relu(), 2).flatten(1)
    return dense_relevance(n.head[3], dense_relevance(n.head[0], y, rule).relu(), rule)


def tokens_middle(n: Any, stem: Tensor) -> tuple[Tensor, Tensor]:
    x = stem.flatten(2).mT
    x = torch.cat([n.token.expand(len(x), -1, -1), x], dim=1)
    return norm_relevance(n.layer, x), x


def tokens_rest(n: Any, y: Tensor, x: Tensor, rule: str) -> Tensor:
    weights = (n.query(y) @ n.key(y).mT / 8**0.5).softmax(-1).detach()
    x = stabilized(x + stabilized(weights @ dense_relevance(n.value, y, rule)))
    return dense_relevance(n.head, norm_relevance(n.norm, x[:, 0]), rule)


def channels_last_middle(n: Any, stem: Tensor, rule: str) -> Tensor:
    hidden = dense_relevance(n.layer[0], norm_relevance(n.norm, stem.permute(0, 2, 3, 1)), rule)
    return pass_relevance(F.gelu(hidden), hidden)


def suffix(n: Any, a: Tensor, images: Tensor, rule: str) -> Tensor:
    """The class scores from what `layer` returned; what else the rest needs is computed and held constant."""
    kind = type(n).__name__
    if kind == "Skip":
        return skip_rest(n, a, n.stem(images).relu().detach(), rule)
    if kind == "Tokens":
        return tokens_rest(n, a, tokens_middle(n, n.stem(images).detach())[1].detach(), rule)
    return (
        dense_relevance(n.head, stabilized(a.mean((1, 2))), rule) if kind == "ChannelsLast" else plain_rest(n, a, rule)
    )


def whole_network(n: Any, stem: Tensor, rule: str) -> Tensor:
    """The class scores from what the first convolution (with its norm) returned."""
    kind = type(n).__name__
    if kind == "Skip":
        return skip_rest(n, *skip_middle(n, stem), rule)
    if kind == "Tokens":
        return tokens_rest(n, *tokens_middle(n, stem), rule)
    if kind == "ChannelsLast":
        return dense_relevance(n.head, stabilized(channels_last_middle(n, stem, rule).mean((1, 2))), rule)
    return plain_rest(n, plain_middle(n, stem), rule)


def at_images(n: Any, images: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The composite rule down to the images, whose relevance is shared out evenly by the first layer."""
    images = images.detach()
    plain = type(n).__name__ == "Plain"
    conv, norm = (n.stem[0], n.stem[1]) if plain else (n.stem, None)
    stem = (conv(images) if norm is None else norm(conv(images))).detach().requires_grad_()
    score = whole_network(n, stem, "composite")[:, k]
    (gradient,) = torch.autograd.grad(score.sum(), stem)
    ones = torch.ones_like(images).requires_grad_()
    fan = F.conv2d(ones, torch.ones_like(conv.weight), None, conv.stride, conv.padding)
    (even,) = torch.autograd.grad(fan, ones, stem.detach() * gradient / fan.detach())
    return even, score.detach()


def at_layer(n: Any, activations: Tensor, images: Tensor, k: int) -> Tensor:
    """z+ down to the layer, every other class beginning with -y_k / (N - 1)."""
    leaf = activations.detach().requires_grad_()
    scores = suffix(n, leaf, images, "z_plus")
    y = scores.detach()
    start = -y[:, k : k + 1].expand_as(y) / (y.shape[1] - 1)
    start = start.scatter(1, torch.full_like(start[:, :1], k, dtype=torch.long), y[:, k : k + 1])
    (gradient,) = torch.autograd.grad(scores, leaf, start / y)
    return leaf.detach() * gradient
