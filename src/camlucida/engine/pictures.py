"""The network on other pictures than the one asked about: outputs and slopes, in chunks, no parameter touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.cost import WITH_GRADIENT, spend
from camlucida.engine.quick import Quicker, as_it_is, quicker
from camlucida.engine.relu import ReluRule, Rule
from camlucida.engine.repeats import Repeats
from camlucida.engine.twin import Twin
from camlucida.errors import MethodError
from camlucida.types import ProgressCallback

BUDGET = 512 * 2**20
"""Bytes that one chunk of pictures, and what the network makes of them, should roughly stay under."""

GROWTH, GROWTH_OF_A_GRAPH = 40, 160
"""How much more memory a network takes than its input, without and with its graph; measured in ResNet-50, VGG-16 and
ViT-B: 15 to 45, and 80 to 200."""

MOST_ON_CPU, MOST_ON_GPU = 8, 64
"""More pictures in one chunk gain nothing (measured: SmoothGrad on ResNet-50 is slower with 25 at once than with 5)."""

WORTH = 64
"""So many pictures pay for what makes runs quicker, which costs about as much as seven."""

Variants = Callable[[Tensor], Tensor]
"""Which variants (n,) in, those pictures (n, b, c, H, W) out."""


@dataclass(frozen=True)
class Pictures:
    """Runs of the network on variants of `inputs` (b, c, H, W).

    read    finds the class scores (rows, k) in the output
    tick    is told after every chunk how many of how many pictures were run, where there are several chunks: of one
            there is nothing to tell, and a method that asks for one run after the other tells how far it is itself
    repeats of these runs: how many at once, and how exact those without gradients are
    """

    twin: Twin
    inputs: Tensor
    read: Callable[[Any], Tensor]
    tick: ProgressCallback = field(default=lambda done, total: None)
    repeats: Repeats = field(default_factory=Repeats)

    def outputs(self, variants: Variants, count: int) -> Tensor:
        """The class scores (count, b, k) of all variants."""
        return torch.cat(list(self.each_output(variants, count)))

    def each_output(self, variants: Variants, count: int) -> Iterator[Tensor]:
        """The same, chunk by chunk (n, b, k), in order."""
        with torch.inference_mode(False), torch.no_grad():
            forward = self._forward(variants, count)
        for which in self._chunks(count, GROWTH):
            with torch.inference_mode(False), torch.no_grad():  # not round the yield: it would reach the caller
                found = self._scored(forward, variants(which)).detach()
            spend(len(which) * len(self.inputs))
            self._tell(which, count)
            yield found

    def slopes(
        self, score: Callable[[Tensor], Tensor], variants: Variants, count: int, rule: Rule | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Chunk by chunk: which variants (n,), their scores (n, b), and the scores' gradients (n, b, c, H, W).

        score   class scores (n, b, k) in, scores (n, b) out
        rule    another way back through ReLUs; `MethodError` where the network has none to guide
        """
        for which in self._chunks(count, GROWTH_OF_A_GRAPH):
            with torch.inference_mode(False), torch.enable_grad():
                pictures = variants(which).detach().to(self.inputs.dtype).requires_grad_()
                scores = score(self._run(pictures)) if rule is None else self._ruled(rule, score, pictures)
                (gradient,) = torch.autograd.grad(scores.sum(), pictures)
            spend(len(which) * len(self.inputs) * WITH_GRADIENT)
            self._tell(which, count)
            yield which, scores.detach(), gradient.to(torch.promote_types(gradient.dtype, torch.float32))

    def _tell(self, which: Tensor, count: int) -> None:
        if len(which) < count:
            self.tick(int(which[-1]) + 1, count)

    def _ruled(self, rule: Rule, score: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
        with ReluRule(rule) as relus:
            scores = score(self._run(pictures))
        if not relus.count:
            raise MethodError(
                f"{rule} backpropagation changes the way back through ReLUs, and {type(self.twin.module).__name__} has "
                "none. Use gradient or integrated_gradients."
            )
        return scores

    def _run(self, pictures: Tensor) -> Tensor:
        return self._scored(as_it_is(self.twin.module, self.read), pictures)

    def _scored(self, forward: Quicker, pictures: Tensor) -> Tensor:
        """Class scores (n, b, k) of (n, b, c, H, W)."""
        scores = forward(pictures.to(self.inputs.dtype).flatten(0, 1))
        return scores.reshape(*pictures.shape[:2], -1)

    def _forward(self, variants: Variants, count: int) -> Quicker:
        """The network for `count` runs on variants: quicker, where they are many, checked on three of them."""
        precision = self.repeats.precision
        if precision == "bf16" and self.inputs.dtype == torch.float64:
            raise MethodError("precision='bf16' is for networks in float32, and this one runs in float64.")
        if count * len(self.inputs) < WORTH:
            return replace(as_it_is(self.twin.module, self.read), precision=precision)
        first_and_last = variants(torch.tensor([0, count - 1]))[:, 0].to(self.inputs.dtype)
        probes = torch.cat([self.inputs[:1], first_and_last])
        spend(2 * len(probes))
        return quicker(self.twin.module, self.read, probes, precision)

    def _chunks(self, count: int, growth: int) -> list[Tensor]:
        rows = self.repeats.batch
        if rows is None:
            most = MOST_ON_GPU if self.inputs.is_cuda else MOST_ON_CPU
            rows = min(most, BUDGET // (growth * max(1, self.inputs[0].nbytes)))
        return list(torch.split(torch.arange(count), max(1, rows // len(self.inputs))))
