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
from camlucida.maps import grid_axes, per_channel
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
            variants = activations.repeat(len(channels), *[1] * activations.ndim)
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
    contribution = (activations.mean(grid_axes(activations)) - infill)[:, :, None] * head.weight.T
    return scores.detach()[:, None] - contribution


def gap_linear_head(
    trace: Trace, traced: LayerTrace, read: Callable[[Any], Tensor] | None = None
) -> GapLinearHead | None:
    """Return the average pooling and linear layer after a layer, if they are the whole suffix.

    The linear layer is an `nn.Linear` or a 1 × 1 convolution after the pooling, or a 1 × 1 convolution before it, which
    commutes with it. The suffix is recognised from its computations, not from class names: it runs once on random,
    signed activations, and its output must be that of the linear layer for their spatial means. A ReLU, a norm or a
    second linear layer in between would change these values.

    Args:
        trace: The run of the network.
        traced: The layer in this run.
        read: Extracts the class scores from the network's output. They must be the output of the linear layer, or its
            only column z as the two classes (-z, z) of a binary network; not of another head or computed from it. If
            None, the linear layer's output may be any part of the network's output.

    Returns:
        The head, or None where the suffix is something else.
    """
    for probe in _linear_probes(trace, traced):
        signs = probe.signs(read)
        if signs is not None:
            weight = at_least_float32(probe.linear.weight).flatten(1)
            bias = weight.new_zeros(len(weight)) if probe.linear.bias is None else at_least_float32(probe.linear.bias)
            signs = signs.to(weight)
            return GapLinearHead(signs[:, None] * weight, signs * bias)
    return None


@dataclass(frozen=True)
class _Probe:
    """A linear layer whose input is the mean of the layer's channels, or the channels, in a run on random activations.

    Attributes:
        linear: The module: an `nn.Linear`, or a 1 × 1 convolution.
        linear_output: Its output `(n, k)`, `(n, k, 1, 1)` after the pooling, or `(n, k, h, w)` before it.
        output: Output of the network.
    """

    linear: nn.Linear | nn.Conv2d | nn.Conv3d
    linear_output: Tensor
    output: Any

    def signs(self, read: Callable[[Any], Tensor] | None) -> Tensor | None:
        """Return the factor of every class score `(k,)`, 1 or -1, to the output of this layer; None if it is not read.

        A binary network with one output z has the class scores (-z, z). A convolution before the pooling is compared
        after it.
        """
        outputs = [tensor for _, tensor in nested.tensors(self.output)] if read is None else [read(self.output)]
        ones = torch.ones(self.linear_output.shape[1 if self.linear_output.ndim >= 4 else -1], dtype=torch.float32)
        if self.linear_output.ndim >= 4 and self.linear_output[0, 0].numel() > 1:
            own = at_least_float32(self.linear_output).mean(grid_axes(self.linear_output))
            is_same = any(_are_close(output.flatten(1), own, self.linear_output.dtype) for output in outputs)
        elif read is None:
            tensor = self.linear_output  # a Flatten after it returns a view
            is_part = any(o.data_ptr() == tensor.data_ptr() and o.numel() == tensor.numel() for o in outputs)
            return ones if is_part else None
        else:
            own = at_least_float32(self.linear_output).flatten(1)
            is_same = torch.equal(outputs[0].flatten(1), own)
        if is_same:
            return ones
        if len(ones) == 1 and read is not None and torch.equal(outputs[0], torch.cat([-own, own], -1)):
            return torch.tensor([-1.0, 1.0], dtype=torch.float32)
        return None


def _linear_probes(trace: Trace, traced: LayerTrace) -> list[_Probe]:
    """Return every linear layer after the layer that could be its head; cached per grid size."""
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
    means = noise.mean(grid_axes(noise))
    probes = []
    for call in later_calls:
        linear, inputs = call.module, call.args[0] if call.args else None
        if not isinstance(inputs, Tensor):
            continue
        if (isinstance(linear, nn.Linear) and _are_close(inputs, means, inputs.dtype)) or (
            isinstance(linear, nn.Conv2d | nn.Conv3d)
            and _is_pointwise(linear)
            and any(_are_close(inputs, wanted, inputs.dtype) for wanted in (per_channel(means, noise), noise))
        ):
            probes.append(_Probe(linear, call.output, output))
    return probes


def _is_pointwise(convolution: nn.Conv2d | nn.Conv3d) -> bool:
    """Return whether a convolution is one linear layer at every position."""
    return (
        set(convolution.kernel_size) == {1}
        and set(convolution.stride) == {1}
        and (convolution.padding in ("valid", "same") or set(convolution.padding) == {0})
        and convolution.groups == 1
    )


def _are_close(given: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    """Return whether a tensor equals another one, up to the rounding of `dtype`."""
    if given.shape != wanted.shape:
        return False
    rounding = 1e-4 if dtype in (torch.float32, torch.float64) else 2e-2
    return bool((at_least_float32(given) - at_least_float32(wanted)).abs().max() <= rounding * wanted.abs().max())
