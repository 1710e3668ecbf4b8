"""The network on other pictures than the one asked about: outputs and slopes, in chunks, no parameter touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from camlucida.engine.relu import ReluRule, Rule
from camlucida.engine.twin import Twin
from camlucida.errors import MethodError

BUDGET = 512 * 2**20
"""Bytes that one chunk of pictures, and what the network makes of them, should roughly stay under."""

GROWTH = 160
"""How much more memory a network with its graph takes than its input; 80 to 200 in ResNet-50, VGG-16, ViT-B."""

MOST_ON_CPU, MOST_ON_GPU = 8, 64
"""More pictures in one chunk gain nothing (measured: SmoothGrad on ResNet-50 is slower with 25 at once than with 5)."""

Variants = Callable[[Tensor], Tensor]
"""Which variants (n,) in, those pictures (n, b, c, H, W) out."""


@dataclass(frozen=True)
class Pictures:
    """Runs of the network on variants of `inputs` (b, c, H, W).

    read    finds the class scores (rows, k) in the output
    tick    is told after every chunk how many of how many pictures were run
    """

    twin: Twin
    inputs: Tensor
    read: Callable[[Any], Tensor]
    tick: Callable[[int, int], None] = field(default=lambda done, total: None)

    def outputs(self, variants: Variants, count: int) -> Tensor:
        """The class scores (count, b, k) of all variants."""
        found = []
        with torch.inference_mode(False), torch.no_grad():
            for which in self._chunks(count):
                found.append(self._run(variants(which)).detach())
                self.tick(int(which[-1]) + 1, count)
        return torch.cat(found)

    def slopes(
        self, score: Callable[[Tensor], Tensor], variants: Variants, count: int, rule: Rule | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Chunk by chunk: which variants (n,), their scores (n, b), and the scores' gradients (n, b, c, H, W).

        score   class scores (n, b, k) in, scores (n, b) out
        rule    another way back through ReLUs; `MethodError` where the network has none to guide
        """
        for which in self._chunks(count):
            with torch.inference_mode(False), torch.enable_grad():
                pictures = variants(which).detach().to(self.inputs.dtype).requires_grad_()
                scores = score(self._run(pictures)) if rule is None else self._ruled(rule, score, pictures)
                (gradient,) = torch.autograd.grad(scores.sum(), pictures)
            self.tick(int(which[-1]) + 1, count)
            yield which, scores.detach(), gradient.to(torch.promote_types(gradient.dtype, torch.float32))

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
        """Class scores (n, b, k) of (n, b, c, H, W). The network gets a copy: it may write to its input."""
        rows = pictures.to(self.inputs.dtype).flatten(0, 1).clone()
        scores = self.read(self.twin.module(rows))
        return scores.reshape(*pictures.shape[:2], -1)

    def _chunks(self, count: int) -> list[Tensor]:
        b = len(self.inputs)
        most = MOST_ON_GPU if self.inputs.is_cuda else MOST_ON_CPU
        rows = min(most, BUDGET // (GROWTH * max(1, self.inputs[0].nbytes)))
        return list(torch.split(torch.arange(count), max(1, rows // b)))
