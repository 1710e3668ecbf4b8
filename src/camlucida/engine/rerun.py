"""The rest of the network as a function of one layer: channels left out, in chunks, or in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import structure
from camlucida.engine.trace import Trace, Traced, at_least_float32

BUDGET = 512 * 2**20
"""Bytes that the variants of one chunk, and what the network makes of them, should roughly stay under."""

MOST_VARIANTS = 64
"""More in one chunk gains nothing on a CPU (measured on ResNet-50) and fits the memory of small GPUs."""

GROWTH = 8
"""How much more memory the rest of a network takes than the layer's own output; 3 to 6 in ResNet-50."""


@dataclass(frozen=True)
class LinearEnd:
    """Average pooling and one linear layer: the whole rest of the network after a layer.

    weight   (k, c)
    bias     (k,)
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Rest:
    """The rest of the network after `traced`; `read` finds the class scores (n, k) in what it gives out."""

    trace: Trace
    traced: Traced
    read: Callable[[Any], Tensor]

    def without_channels(self, fill: float = 0.0, *, closed_form: bool = True) -> Tensor:
        """The class scores (b, c, k) with each channel in turn set to `fill`.

        In closed form where the rest is average pooling and a linear layer, else by running it once a channel.
        """
        end = linear_end(self.trace, self.traced) if closed_form else None
        rows = [
            self._rerun(image, activations, fill) if end is None else _in_closed_form(activations, fill, end)
            for image, activations in enumerate(self.traced.activations)
        ]
        return torch.stack(rows)

    def _rerun(self, image: int, activations: Tensor, fill: float) -> Tensor:
        """One run of the rest for every channel that is not constantly `fill` already (then nothing changes)."""
        untouched = self.read(self.trace.rerun(self.traced, activations[None], image))
        outputs = untouched.repeat(len(activations), 1)
        alive = (activations != fill).flatten(1).any(1).nonzero()[:, 0]
        for channels in torch.split(alive, chunk_size(activations)):
            variants = activations.repeat(len(channels), 1, 1, 1)
            variants[torch.arange(len(channels)), channels] = fill
            outputs[channels] = self.read(self.trace.rerun(self.traced, variants, image))
        return outputs


def _in_closed_form(activations: Tensor, fill: float, end: LinearEnd) -> Tensor:
    """What pooling and the linear layer make of (c, h, w) activations without each channel: (c, k)."""
    means = activations.mean((1, 2))
    return means @ end.weight.T + end.bias - (means - fill)[:, None] * end.weight.T


def chunk_size(activations: Tensor) -> int:
    """How many variants of (c, h, w) activations to run at once."""
    return max(1, min(MOST_VARIANTS, BUDGET // (GROWTH * activations.nbytes)))


def linear_end(trace: Trace, traced: Traced) -> LinearEnd | None:
    """The linear end after a layer, if that is all there is; recognised from what runs, not from class names.

    The rest runs once on random, signed activations: it is a linear end if what enters the last Linear is
    their mean over the places, and what leaves it is the network's output. A ReLU, a norm or a second Linear
    in between would show.
    """
    twin = trace.twin
    key = ("linear end", traced.layer.name)
    if key not in twin.notes:
        twin.notes[key] = _probed_end(trace, traced)
    linear: nn.Linear | None = twin.notes[key]
    if linear is None:
        return None
    weight = at_least_float32(linear.weight)
    bias = weight.new_zeros(len(weight)) if linear.bias is None else at_least_float32(linear.bias)
    return LinearEnd(weight, bias)


def _probed_end(trace: Trace, traced: Traced) -> nn.Linear | None:
    like = traced.activations
    noise = torch.randn((2, *like.shape[1:]), generator=torch.Generator().manual_seed(0)).to(like)
    output, after = trace.rerun_noting(traced, noise, 0)
    linear = next((call for call in reversed(after) if isinstance(call.module, nn.Linear)), None)
    if linear is None or not linear.args or linear.args[0].shape != noise.shape[:2]:
        return None
    entered, means = at_least_float32(linear.args[0]), noise.mean((2, 3))
    rounding = 1e-4 if linear.args[0].dtype is torch.float32 or linear.args[0].dtype is torch.float64 else 2e-2
    pooled = bool((entered - means).abs().max() <= rounding * means.abs().max())
    is_output = any(t is linear.output for _, t in structure.tensors(output))
    assert isinstance(linear.module, nn.Linear)
    return linear.module if pooled and is_output else None
