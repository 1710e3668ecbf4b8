"""The network on other pictures than the one asked about: outputs and slopes, in chunks, no parameter touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.backward.relu_rules import ReluRule, ReluRuleName
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT, add_cost
from camlucida.engine.fold_batchnorm import FoldedNetwork, folded, unfolded
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.run_options import RunOptions
from camlucida.errors import MethodError
from camlucida.types import ProgressCallback

MAX_BYTES = 512 * 2**20
"""Bytes that one chunk of pictures, and what the network makes of them, should roughly stay under."""

MEMORY_FACTOR, GRAPH_MEMORY_FACTOR = 40, 160
"""How much more memory a network takes than its input, without and with its graph; measured in ResNet-50, VGG-16 and
ViT-B: 15 to 45, and 80 to 200."""

MAX_IMAGES_CPU, MAX_IMAGES_GPU = 8, 64
"""More pictures in one chunk gain nothing (measured: SmoothGrad on ResNet-50 is slower with 25 at once than with 5)."""

MIN_RUNS_TO_FOLD = 64
"""So many pictures pay for what makes runs quicker, which costs about as much as seven."""

Variants = Callable[[Tensor], Tensor]
"""Which variants (n,) in, those pictures (n, b, c, H, W) out."""


@dataclass(frozen=True)
class InputVariants:
    """Runs of the network on variants of `inputs` (b, c, H, W).

    read    finds the class scores (rows, k) in the output
    tick    is told after every chunk how many of how many pictures were run, where there are several chunks: of one
            there is nothing to tell, and a method that asks for one run after the other tells how far it is itself
    repeats of these runs: how many at once, and how exact those without gradients are
    """

    copy: NetworkCopy
    inputs: Tensor
    read: Callable[[Any], Tensor]
    progress: ProgressCallback = field(default=lambda done, total: None)
    run_options: RunOptions = field(default_factory=RunOptions)

    def outputs(self, variants: Variants, n: int) -> Tensor:
        """The class scores (count, b, k) of all variants."""
        return torch.cat(list(self.iter_outputs(variants, n)))

    def iter_outputs(self, variants: Variants, n: int) -> Iterator[Tensor]:
        """The same, chunk by chunk (n, b, k), in order."""
        with torch.inference_mode(False), torch.no_grad():
            forward = self._network_for(variants, n)
        for indices in self._chunks(n, MEMORY_FACTOR):
            with torch.inference_mode(False), torch.no_grad():  # not round the yield: it would reach the caller
                scores = self._scores_of(forward, variants(indices)).detach()
            add_cost(len(indices) * len(self.inputs))
            self._report_progress(indices, n)
            yield scores

    def input_gradients(
        self, score: Callable[[Tensor], Tensor], variants: Variants, n: int, rule: ReluRuleName | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Chunk by chunk: which variants (n,), their scores (n, b), and the scores' gradients (n, b, c, H, W).

        score   class scores (n, b, k) in, scores (n, b) out
        rule    another way back through ReLUs; `MethodError` where the network has none to guide
        """
        for indices in self._chunks(n, GRAPH_MEMORY_FACTOR):
            with torch.inference_mode(False), torch.enable_grad():
                images = variants(indices).detach().to(self.inputs.dtype).requires_grad_()
                scores = score(self._scores(images)) if rule is None else self._scores_with_rule(rule, score, images)
                (gradient,) = torch.autograd.grad(scores.sum(), images)
            add_cost(len(indices) * len(self.inputs) * FORWARDS_WITH_GRADIENT)
            self._report_progress(indices, n)
            yield indices, scores.detach(), gradient.to(torch.promote_types(gradient.dtype, torch.float32))

    def _report_progress(self, indices: Tensor, n: int) -> None:
        if len(indices) < n:
            self.progress(int(indices[-1]) + 1, n)

    def _scores_with_rule(self, rule: ReluRuleName, score: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        with ReluRule(rule) as relu_mode:
            scores = score(self._scores(images))
        if not relu_mode.count:
            raise MethodError(
                f"{rule} backpropagation changes the way back through ReLUs, and {type(self.copy.module).__name__} has "
                "none. Use gradient or integrated_gradients."
            )
        return scores

    def _scores(self, images: Tensor) -> Tensor:
        return self._scores_of(unfolded(self.copy.module, self.read), images)

    def _scores_of(self, forward: FoldedNetwork, images: Tensor) -> Tensor:
        """Class scores (n, b, k) of (n, b, c, H, W)."""
        scores = forward(images.to(self.inputs.dtype).flatten(0, 1))
        return scores.reshape(*images.shape[:2], -1)

    def _network_for(self, variants: Variants, n: int) -> FoldedNetwork:
        """The network for `count` runs on variants: quicker, where they are many, checked on three of them."""
        precision = self.run_options.precision
        if precision == "bf16" and self.inputs.dtype == torch.float64:
            raise MethodError("precision='bf16' is for networks in float32, and this one runs in float64.")
        if n * len(self.inputs) < MIN_RUNS_TO_FOLD:
            return replace(unfolded(self.copy.module, self.read), precision=precision)
        first_and_last = variants(torch.tensor([0, n - 1]))[:, 0].to(self.inputs.dtype)
        probes = torch.cat([self.inputs[:1], first_and_last])
        add_cost(2 * len(probes))
        return folded(self.copy.module, self.read, probes, precision)

    def _chunks(self, n: int, memory_factor: int) -> list[Tensor]:
        batch_size = self.run_options.batch_size
        if batch_size is None:
            max_images = MAX_IMAGES_GPU if self.inputs.is_cuda else MAX_IMAGES_CPU
            batch_size = min(max_images, MAX_BYTES // (memory_factor * max(1, self.inputs[0].nbytes)))
        return list(torch.split(torch.arange(n), max(1, batch_size // len(self.inputs))))
