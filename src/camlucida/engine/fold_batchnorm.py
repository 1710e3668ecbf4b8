"""Faster inference for runs without gradients: batch norms folded into convolutions, weights in a faster layout.

In eval mode a batch norm after a convolution is one factor and one shift per channel, which the weights of the
convolution can absorb. Which norm follows which convolution is observed in one run, whatever the modules are called.
The folded and the original network then run on the same inputs, and where their scores differ by more than rounding
the original is used. Nothing is kept between requests (weights may be trained meanwhile), and no module is modified:
a `TorchFunctionMode`, which is thread-local, passes the folded weights to the functions that use the network's own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.folded_weights import FoldedWeights, FoldedWeightsMode, FoldRecorder
from camlucida.engine.run_options import Precision

MAX_RELATIVE_ERROR = {torch.float64: 1e-11, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Tolerated difference of folded and original scores, relative to the largest score, by type.

An incorrect fold is off by far more.
"""


@dataclass(frozen=True)
class FoldedNetwork:
    """A network for inference: inputs (n, c, H, W) to class scores (n, k). The inputs are not modified.

    Attributes:
        network: The network, as a function of the images.
        read: Extracts the class scores from the network's output.
        layout: Memory format of the inputs.
        weights: Replacements of the network's weights; empty to run it with its own.
        precision: "exact", or "bf16" to run convolutions and products in bfloat16.
    """

    network: Callable[[Tensor], Any]
    read: Callable[[Any], Tensor]
    layout: torch.memory_format
    weights: tuple[FoldedWeights, ...]
    precision: Precision

    def __call__(self, rows: Tensor) -> Tensor:
        mode = FoldedWeightsMode(self.weights)
        with _autocast(self.precision, rows):
            with mode:
                scores = self._scores(rows, self.layout)
            return scores if mode.succeeded else self._scores(rows, torch.contiguous_format)

    def _scores(self, rows: Tensor, layout: torch.memory_format) -> Tensor:
        return self.read(self.network(rows.clone(memory_format=layout)))

    def agrees(self, rows: Tensor, exact: Tensor) -> bool:
        """Return whether the scores equal the original ones, up to rounding.

        Args:
            rows: Network inputs, (n, c, H, W).
            exact: Scores of the original network for them, (n, k).
        """
        try:
            scores = self(rows)
        except RuntimeError:  # a network that needs contiguous tensors, for x.view(n, -1) after a convolution
            return False
        return bool((scores - exact).abs().max() <= MAX_RELATIVE_ERROR.get(rows.dtype, 0) * exact.abs().max())


def unfolded(network: Callable[[Tensor], Any], read: Callable[[Any], Tensor]) -> FoldedNetwork:
    """Return the network with its own weights."""
    return FoldedNetwork(network, read, torch.contiguous_format, (), "exact")


def folded(
    network: Callable[[Tensor], Any], read: Callable[[Any], Tensor], probes: Tensor, precision: Precision
) -> FoldedNetwork:
    """Return the fastest variant of a network that reproduces its scores on the inputs `probes`.

    Grad mode must be off. Takes two to three runs of the probes, and holds one copy of the convolutions' weights.

    Args:
        network: The module of a network copy, or a function that calls it.
        read: Extracts the class scores from its output.
        probes: Network inputs to compare the scores on, (n, c, H, W).
        precision: "bf16" rounds weights and inputs of convolutions and products to bfloat16, after the comparison.

    Returns:
        The folded network, or the unfolded one where no variant reproduces the scores.
    """
    recorder = FoldRecorder()
    original = unfolded(network, read)
    with recorder:
        expected = original(probes)
    for layout in _layouts(probes, precision):
        candidate = replace(original, layout=layout, weights=tuple(recorder.weights(layout, precision)))
        if candidate.weights and candidate.agrees(probes, expected):
            break
    else:
        candidate = original
    if precision == "bf16":
        return replace(candidate, weights=tuple(w.in_bfloat16() for w in candidate.weights), precision=precision)
    return candidate


def _layouts(rows: Tensor, precision: Precision) -> list[torch.memory_format]:
    """Return the memory formats to try, best first. GPUs have no fast float32 convolutions for channels last."""
    channels_last = rows.ndim == 4 and not (rows.is_cuda and precision == "exact")
    return [torch.channels_last, torch.contiguous_format] if channels_last else [torch.contiguous_format]


def _autocast(precision: Precision, rows: Tensor) -> AbstractContextManager[Any]:
    return nullcontext() if precision == "exact" else torch.autocast(rows.device.type, torch.bfloat16)
