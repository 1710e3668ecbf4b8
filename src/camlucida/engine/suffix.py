"""The rest of the network as a function of one layer: channels left out, in chunks, or in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.run_options import RunOptions
from camlucida.engine.trace import LayerTrace, Trace, at_least_float32
from camlucida.types import ProgressCallback

MAX_BYTES = 512 * 2**20
"""Bytes that the variants of one chunk, and what the network makes of them, should roughly stay under."""

MAX_VARIANTS = 64
"""More in one chunk gains nothing on a CPU (measured on ResNet-50) and fits the memory of small GPUs."""

MEMORY_FACTOR = 8
"""How much more memory the rest of a network takes than the layer's own output; 3 to 6 in ResNet-50."""


@dataclass(frozen=True)
class GapLinearHead:
    """Average pooling and one linear layer: the whole rest of the network after a layer.

    weight   (k, c)
    bias     (k,)
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class NetworkSuffix:
    """The rest of the network after `traced`.

    read    finds the class scores (n, k) in what the network gives out
    tick    is told after every chunk how many of how many runs are done
    repeats how many variants are run at once
    """

    trace: Trace
    traced: LayerTrace
    read: Callable[[Any], Tensor]
    progress: ProgressCallback = field(default=lambda done, total: None)
    run_options: RunOptions = field(default_factory=RunOptions)

    def ablate_channels(self, infill: float = 0.0, *, closed_form: bool = True) -> Tensor:
        """The class scores (b, c, k) with each channel in turn set to `infill`.

        In closed form where the rest is average pooling and a linear layer, else by running it once a channel.
        """
        head = gap_linear_head(self.trace, self.traced, self.read) if closed_form else None
        if head is not None:
            with torch.no_grad():
                return _ablate_in_closed_form(self.read(self.trace.output), self.traced.activations, infill, head)
        return torch.stack(
            [
                self._ablate_image(image, activations, infill)
                for image, activations in enumerate(self.traced.activations)
            ]
        )

    def outputs(self, variants: Callable[[Tensor], Tensor], n: int) -> Tensor:
        """The class scores (count, b, k) for variants of the activations: numbers (n,) in, (n, b, c, h, w) out."""
        activations = self.traced.activations
        chunks = []
        for indices in torch.split(torch.arange(n), self._chunk_size(activations[0])):
            chunk = variants(indices)
            rows = [self.read(self.trace.rerun(self.traced, chunk[:, i], i)) for i in range(len(activations))]
            chunks.append(torch.stack(rows, dim=1))
            self.progress(int(indices[-1]) + 1, n)
        return torch.cat(chunks)

    def _chunk_size(self, activations: Tensor) -> int:
        """How many variants of (c, h, w) activations to run at once."""
        return self.run_options.batch_size or max(
            1, min(MAX_VARIANTS, MAX_BYTES // (MEMORY_FACTOR * activations.nbytes))
        )

    def _ablate_image(self, image: int, activations: Tensor, infill: float) -> Tensor:
        """One run of the rest for every channel that is not constantly `infill` already (then nothing changes)."""
        unmodified = self.read(self.trace.rerun(self.traced, activations[None], image))
        outputs = unmodified.repeat(len(activations), 1)
        n_channels, n_runs = len(activations), len(activations) * len(self.traced.activations)
        alive = (activations != infill).flatten(1).any(1).nonzero()[:, 0]
        for channels in torch.split(alive, self._chunk_size(activations)):
            variants = activations.repeat(len(channels), 1, 1, 1)
            variants[torch.arange(len(channels)), channels] = infill
            outputs[channels] = self.read(self.trace.rerun(self.traced, variants, image))
            self.progress(image * n_channels + int(channels[-1]) + 1, n_runs)
        self.progress((image + 1) * n_channels, n_runs)
        return outputs


def _ablate_in_closed_form(scores: Tensor, activations: Tensor, infill: float, head: GapLinearHead) -> Tensor:
    """What pooling and the linear layer make of (b, c, h, w) activations without each channel: (b, c, k).

    It starts from the scores (b, k) of the run itself: in half precision their rounding is larger than what a
    channel is worth, and must be the same on both sides of a difference.
    """
    contribution = (activations.mean((2, 3)) - infill)[:, :, None] * head.weight.T
    return scores.detach()[:, None] - contribution


def gap_linear_head(
    trace: Trace, traced: LayerTrace, read: Callable[[Any], Tensor] | None = None
) -> GapLinearHead | None:
    """The linear end after a layer, if that is all there is; recognised from what runs, not from class names.

    The rest runs once on random, signed activations: it is a linear end if what enters a Linear is their
    mean over the places, and what leaves it is the network's output. A ReLU, a norm or a second Linear
    in between would show.

    read    finds the class scores in the output; they must be what leaves the Linear, not another head's
            and not something made of them. Without it the Linear's output must stand anywhere in the output
    """
    for probe in _linear_probes(trace, traced):
        if probe.is_read(read):
            weight = at_least_float32(probe.linear.weight)
            bias = weight.new_zeros(len(weight)) if probe.linear.bias is None else at_least_float32(probe.linear.bias)
            return GapLinearHead(weight, bias)
    return None


@dataclass(frozen=True)
class _Probe:
    """A Linear that takes the means of the layer's channels; what left it, and the network, for random activations."""

    linear: nn.Linear
    linear_output: Tensor
    output: Any

    def is_read(self, read: Callable[[Any], Tensor] | None) -> bool:
        """Whether the class scores are just what left this Linear."""
        if read is None:
            return any(t is self.linear_output for _, t in nested.tensors(self.output))
        return torch.equal(read(self.output), at_least_float32(self.linear_output))


def _linear_probes(trace: Trace, traced: LayerTrace) -> list[_Probe]:
    """Every Linear after the layer that takes the means of its channels; looked for once for a grid."""
    cache = trace.twin.notes
    key = ("linear end", traced.layer.name, tuple(traced.activations.shape[1:]))
    if key not in cache:
        cache[key] = _find_linear_probes(trace, traced)
    probes: list[_Probe] = cache[key]
    return probes


def _find_linear_probes(trace: Trace, traced: LayerTrace) -> list[_Probe]:
    activations = traced.activations
    noise = torch.randn((2, *activations.shape[1:]), generator=torch.Generator().manual_seed(0)).to(activations)
    output, later_calls = trace.rerun_with_calls(traced, noise, 0)
    means = noise.mean((2, 3))
    return [
        _Probe(call.module, call.output, output)
        for call in later_calls
        if isinstance(call.module, nn.Linear) and call.args and _are_close(call.args[0], means)
    ]


def _are_close(linear_input: Tensor, means: Tensor) -> bool:
    if linear_input.shape != means.shape:
        return False
    rounding = 1e-4 if linear_input.dtype in (torch.float32, torch.float64) else 2e-2
    return bool((at_least_float32(linear_input) - means).abs().max() <= rounding * means.abs().max())
