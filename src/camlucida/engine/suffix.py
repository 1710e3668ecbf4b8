"""The suffix of a network, from a layer to the output: ablated channels and other variants of the activations."""

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
"""Approximate memory limit, in bytes, of one chunk of variants and what the network computes from them."""

MAX_VARIANTS = 64
"""Maximum number of variants in one chunk: more gain no speed on a CPU (ResNet-50), and these fit small GPUs."""

MEMORY_FACTOR = 8
"""Memory that the suffix of a network takes in multiples of the layer's output; 3 to 6 in ResNet-50."""


@dataclass(frozen=True)
class GapLinearHead:
    """Global average pooling (GAP) and one linear layer as the whole suffix after a layer.

    Attributes:
        weight: Weight of the linear layer, (k, c).
        bias: Its bias, (k,).
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class NetworkSuffix:
    """The suffix of a network after a traced layer.

    Attributes:
        trace: The run of the network.
        traced: The layer in this run.
        read: Extracts the class scores (n, k) from the network's output.
        progress: Called as `progress(done, total)` after every chunk.
        run_options: How many variants run at once.
    """

    trace: Trace
    traced: LayerTrace
    read: Callable[[Any], Tensor]
    progress: ProgressCallback = field(default=lambda done, total: None)
    run_options: RunOptions = field(default_factory=RunOptions)

    def ablate_channels(self, infill: float = 0.0, *, closed_form: bool = True) -> Tensor:
        """Compute the class scores with each channel in turn set to a constant.

        Args:
            infill: The constant that replaces the channel.
            closed_form: Whether to use the closed form where the suffix is average pooling and a linear layer;
                otherwise the suffix runs once per channel.

        Returns:
            Class scores, (b, c, k).
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
        """Compute the class scores for variants of the activations.

        Args:
            variants: A function of indices (n,) that returns these variants, (n, b, c, h, w).
            n: Number of variants.

        Returns:
            Class scores, (n, b, k).
        """
        activations = self.traced.activations
        chunks = []
        for indices in torch.split(torch.arange(n), self._chunk_size(activations[0])):
            chunk = variants(indices)
            rows = [self.read(self.trace.rerun(self.traced, chunk[:, i], i)) for i in range(len(activations))]
            chunks.append(torch.stack(rows, dim=1))
            self.progress(int(indices[-1]) + 1, n)
        return torch.cat(chunks)

    def _chunk_size(self, activations: Tensor) -> int:
        """Return how many variants of (c, h, w) activations to run at once."""
        return self.run_options.batch_size or max(
            1, min(MAX_VARIANTS, MAX_BYTES // (MEMORY_FACTOR * activations.nbytes))
        )

    def _ablate_image(self, image: int, activations: Tensor, infill: float) -> Tensor:
        """Run the suffix once per channel of one image; channels that equal `infill` already are skipped."""
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
    """Return the class scores (b, c, k) of pooling and a linear layer with each channel ablated.

    The contributions are subtracted from the scores (b, k) of the original run: in half precision the rounding of the
    scores exceeds the contribution of a channel, and must be the same on both sides of a difference.
    """
    contribution = (activations.mean((2, 3)) - infill)[:, :, None] * head.weight.T
    return scores.detach()[:, None] - contribution


def gap_linear_head(
    trace: Trace, traced: LayerTrace, read: Callable[[Any], Tensor] | None = None
) -> GapLinearHead | None:
    """Return the average pooling and linear layer after a layer, if they are the whole suffix.

    The suffix is recognised from its computations, not from class names: it runs once on random, signed activations,
    and the input of a Linear must be their spatial mean, and its output the network's output. A ReLU, a norm or a
    second Linear in between would change these values.

    Args:
        trace: The run of the network.
        traced: The layer in this run.
        read: Extracts the class scores from the network's output. They must be exactly the output of the Linear, or
            its only column z as the two classes (-z, z) of a binary network; not of another head or computed from it.
            If None, the Linear's output may be any part of the network's output.

    Returns:
        The head, or None where the suffix is something else.
    """
    for probe in _linear_probes(trace, traced):
        signs = probe.signs(read)
        if signs is not None:
            weight = at_least_float32(probe.linear.weight)
            bias = weight.new_zeros(len(weight)) if probe.linear.bias is None else at_least_float32(probe.linear.bias)
            signs = signs.to(weight)
            return GapLinearHead(signs[:, None] * weight, signs * bias)
    return None


@dataclass(frozen=True)
class _Probe:
    """A Linear whose input is the spatial mean of the layer's channels, in a run on random activations.

    Attributes:
        linear: The module.
        linear_output: Its output.
        output: Output of the network.
    """

    linear: nn.Linear
    linear_output: Tensor
    output: Any

    def signs(self, read: Callable[[Any], Tensor] | None) -> Tensor | None:
        """Return the factor of every class score `(k,)`, 1 or -1, to the output of this Linear; None if it is not read.

        A binary network with one output z has the class scores (-z, z).
        """
        ones = torch.ones(self.linear_output.shape[-1])
        if read is None:
            return ones if any(t is self.linear_output for _, t in nested.tensors(self.output)) else None
        scores, output = read(self.output), at_least_float32(self.linear_output)
        if torch.equal(scores, output):
            return ones
        if len(ones) == 1 and torch.equal(scores, torch.cat([-output, output], -1)):
            return torch.tensor([-1.0, 1.0])
        return None


def _linear_probes(trace: Trace, traced: LayerTrace) -> list[_Probe]:
    """Return every Linear after the layer whose input is the mean of its channels; cached per grid size."""
    cache = trace.copy.notes
    key = ("linear end", traced.layer.name, tuple(traced.activations.shape[1:]))
    if key not in cache:
        cache[key] = _find_linear_probes(trace, traced)
    probes: list[_Probe] = cache[key]
    return probes


def _find_linear_probes(trace: Trace, traced: LayerTrace) -> list[_Probe]:
    activations = traced.activations
    noise = torch.randn(
        (2, *activations.shape[1:]), generator=torch.Generator().manual_seed(0), dtype=torch.float32
    ).to(activations)
    output, later_calls = trace.rerun_with_calls(traced, noise, 0)
    means = noise.mean((2, 3))
    return [
        _Probe(call.module, call.output, output)
        for call in later_calls
        if isinstance(call.module, nn.Linear) and call.args and _are_close(call.args[0], means)
    ]


def _are_close(linear_input: Tensor, means: Tensor) -> bool:
    """Return whether the input of a Linear equals the means, up to rounding."""
    if linear_input.shape != means.shape:
        return False
    rounding = 1e-4 if linear_input.dtype in (torch.float32, torch.float64) else 2e-2
    return bool((at_least_float32(linear_input) - means).abs().max() <= rounding * means.abs().max())
