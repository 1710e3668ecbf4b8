"""What methods may ask for by naming it, computed when it is asked for. The table is in `methods/registry.py`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from camlucida.attribution.competing_classes import competing_classes
from camlucida.attribution.outputs import class_scores
from camlucida.engine import (
    AttentionTrace,
    GapLinearHead,
    InputVariants,
    LayerTrace,
    NetworkCopy,
    NetworkSuffix,
    Trace,
    gap_linear_head,
    trace,
    trace_attention,
)
from camlucida.engine.backward.bias_gradients import bias_gradients
from camlucida.engine.backward.deeplift import multipliers
from camlucida.engine.backward.lrp import LrpRun, RelevanceRule
from camlucida.engine.input_variants import Variants
from camlucida.engine.run_options import RunOptions
from camlucida.errors import MethodError
from camlucida.models.model import Output
from camlucida.targets import Target
from camlucida.types import Attention, ProgressCallback

Chunks = Iterator[tuple[Tensor, Tensor, Tensor]]
"""Which variants (n,), their scores (n, b), the scores' gradients (n, b, c, H, W); chunk by chunk."""


@dataclass
class LayerContext:
    """What all targets share, computed once: a layer of a run, or the pictures themselves where `traced` is None."""

    copy: NetworkCopy
    inputs: Any
    output_selector: Output
    trace: Trace
    layer_trace: LayerTrace | None
    progress: ProgressCallback
    run_options: RunOptions = field(default_factory=RunOptions)
    _cache: dict[Hashable, Tensor] = field(default_factory=dict)
    _relevances: dict[RelevanceRule, LrpRun] = field(default_factory=dict)

    @property
    def layer(self) -> LayerTrace:
        assert self.layer_trace is not None, "a method that asks for a layer got none"
        return self.layer_trace

    @cached_property
    def activations(self) -> Tensor:
        return self.layer.activations

    @cached_property
    def gap_linear_head(self) -> GapLinearHead | None:
        return gap_linear_head(self.trace, self.layer, self.read_scores)

    @cached_property
    def images(self) -> InputVariants:
        if not isinstance(self.inputs, Tensor):
            raise MethodError(
                "this method runs the network on other pictures, and a network with several inputs has no one picture."
                " Choose a method that asks for activations and gradients only, such as grad_cam."
            )
        return InputVariants(self.copy, self.inputs, self.read_scores, self.progress, self.run_options)

    @cached_property
    def attended(self) -> AttentionTrace:
        return trace_attention(self.copy, self.inputs, self.read_scores)

    @cached_property
    def suffix(self) -> NetworkSuffix:
        return NetworkSuffix(self.trace, self.layer, self.read_scores, self.progress, self.run_options)

    def relevances(self, rule: RelevanceRule) -> LrpRun:
        """The run under a rule, from which all targets propagate back."""
        if rule not in self._relevances:
            inputs = self.images.inputs if self.layer_trace is None else self.inputs
            self._relevances[rule] = LrpRun(self.copy, inputs, self.read_scores, rule, self.layer_trace)
        return self._relevances[rule]

    def read_scores(self, output: Any) -> Tensor:
        return class_scores(output, self.output_selector)

    def cached(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """The class scores under `key`, computed by the first target that asks."""
        if key is None:
            return compute()
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]


@dataclass(frozen=True)
class MethodInputs:
    """The fixtures of one place and one target. Each property or function is what a parameter of that name gets."""

    context: LayerContext
    target: Target
    output: Tensor
    score: Tensor
    gradients: Tensor | None
    _reported: dict[str, Tensor] = field(default_factory=dict)

    @property
    def activations(self) -> Tensor:
        return self.context.activations

    @property
    def inputs(self) -> Tensor:
        return self.context.images.inputs

    def report(self, name: str, value: Tensor) -> None:
        """Report one number an image (b,) beside the map."""
        self._reported[name] = value.detach()

    def reports(self) -> dict[str, Tensor]:
        """What was reported since the last time."""
        reported = dict(self._reported)
        self._reported.clear()
        return reported

    def ablate(self, infill: float) -> Tensor:
        outputs = self.context.cached(("ablate", infill), lambda: self.context.suffix.ablate_channels(infill))
        return self._scored(outputs.transpose(0, 1))

    @property
    def head_weights(self) -> Tensor:
        gap_head = self.context.gap_linear_head
        if gap_head is None:
            raise MethodError(
                "cam needs a layer that is followed by average pooling and one linear layer only, and "
                f"{self.context.layer.layer.name!r} is not. Use grad_cam: it equals cam where cam exists."
            )
        with torch.enable_grad():
            output = self.output.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.target(output).sum(), output)
        return gradient @ gap_head.weight

    def score_activations(self, variants: Variants, count: int, *, shared: Hashable = None) -> Tensor:
        """Variants of the activations (n, b, c, h, w) in, scores (count, b) out; only the rest of the network runs."""
        return self._scored(self.context.cached(shared, lambda: self.context.suffix.outputs(variants, count)))

    def score_inputs(self, variants: Variants, count: int, *, shared: Hashable = None) -> Tensor:
        """Variants of the pictures (n, b, c, H, W) in, scores (count, b) out.

        shared    a name, where the pictures do not depend on the target: then all targets share their runs
        """
        return self._scored(self.context.cached(shared, lambda: self.context.images.outputs(variants, count)))

    def input_gradients(self, variants: Variants, count: int) -> Chunks:
        """Chunk by chunk, of variants of the pictures: which (n,), scores (n, b), gradients (n, b, c, H, W)."""
        return self.context.images.input_gradients(self._scored, variants, count)

    def guided(self, variants: Variants, count: int) -> Chunks:
        """As `slopes`, with guided backpropagation's way back through ReLUs."""
        return self.context.images.input_gradients(self._scored, variants, count, "guided")

    def deconvolved(self, variants: Variants, count: int) -> Chunks:
        """As `slopes`, with deconvolution's way back through ReLUs."""
        return self.context.images.input_gradients(self._scored, variants, count, "deconvolution")

    @property
    def attention(self) -> Attention:
        """What the tokens of a transformer looked at; refuses networks without attention between all tokens."""
        return self.context.attended.attention

    @property
    def attention_gradients(self) -> tuple[Tensor, ...]:
        """The score's gradient at every block's attention weights (b, heads, t, t)."""
        return self.context.attended.gradients(lambda output: self.target(self.context.read_scores(output)))

    def multipliers(self, start: Tensor) -> Tensor:
        """DeepLIFT's slopes (b, c, H, W) of the score between the baseline pictures `start` and the pictures."""
        return multipliers(self.context.images, self._scored, start)

    def bias_gradients(self) -> tuple[Tensor, list[Tensor]]:
        """The score's gradient (b, c, H, W) at the pictures, and what every bias adds: (b, c, h, w), or sums (b,)."""
        return bias_gradients(self.context.images, self.target.of)

    def relevance(self, rule: str, *, epsilon: float, gamma: float, contrast: bool = False) -> tuple[Tensor, Tensor]:
        """Relevance propagated to the pictures (b, c, H, W) or the layer (b, c, h, w), and what it began with (b,).

        contrast    the classes not asked for begin with the same amount in all, negative and in equal parts
        """
        return self.context.relevances(RelevanceRule(rule, epsilon, gamma)).propagate(self.target, contrast=contrast)

    layer_relevance = relevance

    def layer_at(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's activations and gradients (b, c, h, w) on other pictures (b, c, H, W)."""
        with torch.no_grad():
            recorded = trace(self.context.copy, inputs, [self.context.layer.layer], gradients=True)
            with torch.enable_grad():
                scores = self._scored(self.context.read_scores(recorded.output)[None])
            return recorded.layers[0].activations, recorded.gradients(scores)[0][0]

    def hvp(self, direction: Tensor) -> Tensor:
        """The score's second derivative at the activations along `direction` (b, c, h, w): H d, same shape."""

        def score_of(image: int) -> Callable[[Any], Tensor]:
            return lambda output: self.target.of(image)(self.context.read_scores(output))

        context = self.context
        return torch.stack([context.trace.hvp(context.layer, score_of(i), d, i) for i, d in enumerate(direction)])

    def competing_classes(self, n: int) -> tuple[Tensor, Tensor]:
        """The n classes nearest in score to its own: d score / d activations (n, b, c, h, w), and scores (n, b)."""
        context, targets = self.context, competing_classes(self.target, self.output, n, "nearest")
        with torch.enable_grad():
            output = context.read_scores(context.trace.output)
            scores = torch.stack([other(output) for other in targets])
        return context.trace.input_gradients(context.layer, scores), scores.detach()

    def progress(self, done: int, total: int) -> None:
        """Say how far it is, where a method itself asks for one run after the other."""
        self.context.progress(done, total)

    def _scored(self, outputs: Tensor) -> Tensor:
        """Class scores (n, b, k) as scores of the target (n, b)."""
        return torch.stack([self.target.of(i)(outputs[:, i]) for i in range(outputs.shape[1])], dim=1)
