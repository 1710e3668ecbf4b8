"""The inputs that methods name in their signature, computed on demand; `methods/registry.py` lists them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from camlucida.attribution.competing_classes import competing_classes
from camlucida.attribution.image_argument import image_of
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
from camlucida.engine.image_axes import image_axes
from camlucida.engine.input_variants import Variants
from camlucida.engine.named_inputs import NamedInputs, with_images
from camlucida.engine.run_options import RunOptions
from camlucida.errors import MethodError
from camlucida.targets import Target
from camlucida.types import Attention, ProgressCallback

Chunks = Iterator[tuple[Tensor, Tensor, Tensor]]
"""Chunks of variants: indices (n,), scores (n, b), gradients of the scores (n, b, c, *grid)."""


@dataclass
class LayerContext:
    """What all targets share, computed once: a layer of a run, or the network inputs where `layer_trace` is None.

    Attributes:
        copy: The copy of the network.
        inputs: Network inputs.
        read_scores: Reads the class scores from the network's output.
        trace: Recording of the forward pass.
        layer_trace: Recording of the layer.
        progress: Called as `progress(done, total)`.
        run_options: Precision and batch size of methods that run the network many times.
    """

    copy: NetworkCopy
    inputs: Any
    read_scores: Callable[[Any], Tensor]
    trace: Trace
    layer_trace: LayerTrace | None
    progress: ProgressCallback
    run_options: RunOptions = field(default_factory=RunOptions)
    _cache: dict[Hashable, Tensor] = field(default_factory=dict)
    _relevances: dict[RelevanceRule, LrpRun] = field(default_factory=dict)

    @property
    def layer(self) -> LayerTrace:
        assert self.layer_trace is not None, "a method that needs a layer has none"
        return self.layer_trace

    @cached_property
    def activations(self) -> Tensor:
        return self.layer.activations

    @cached_property
    def gap_linear_head(self) -> GapLinearHead | None:
        return gap_linear_head(self.trace, self.layer, self.read_scores)

    @cached_property
    def images(self) -> InputVariants:
        held = self.inputs if isinstance(self.inputs, NamedInputs) else None
        return InputVariants(
            self.copy,
            image_of(self.inputs),
            self.read_scores,
            self.progress,
            self.run_options,
            held,
            image_axes(self.copy, self.inputs),
        )

    @cached_property
    def attended(self) -> AttentionTrace:
        return trace_attention(self.copy, self.inputs, self.read_scores)

    @cached_property
    def suffix(self) -> NetworkSuffix:
        return NetworkSuffix(self.trace, self.layer, self.read_scores, self.progress, self.run_options)

    def relevances(self, rule: RelevanceRule) -> LrpRun:
        """Return the LRP run for a rule, which all targets share."""
        if rule not in self._relevances:
            if self.layer_trace is None:
                image_of(self.inputs)
            self._relevances[rule] = LrpRun(self.copy, self.inputs, self.read_scores, rule, self.layer_trace)
        return self._relevances[rule]

    def cached(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return the class scores stored under `key`, computed on first use; with a key of None nothing is stored."""
        if key is None:
            return compute()
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]


@dataclass(frozen=True)
class MethodInputs:
    """The inputs of methods for one layer and one target: each member is what a parameter of that name receives.

    Attributes:
        context: What all targets share.
        target: The target.
        output: Class scores `(b, k)`.
        score: Score of the target `(b,)`.
        gradients: d score / d activations `(b, c, h, w)`, or None if no method needs them.
    """

    context: LayerContext
    target: Target
    output: Tensor
    score: Tensor
    gradients: Tensor | None
    _reported: dict[str, Tensor] = field(default_factory=dict)

    @property
    def activations(self) -> Tensor:
        """Activations of the layer `(b, c, h, w)`."""
        return self.context.activations

    @property
    def inputs(self) -> Tensor:
        """Network inputs `(b, c, *grid)`."""
        return self.context.images.images

    def report(self, name: str, value: Tensor) -> None:
        """Report one number per image `(b,)` beside the map."""
        self._reported[name] = value.detach()

    def reports(self) -> dict[str, Tensor]:
        """Return what was reported since the last call, and clear it."""
        reported = dict(self._reported)
        self._reported.clear()
        return reported

    def ablate(self, infill: float) -> Tensor:
        """Return the score with each channel in turn set to `infill`: `(c, b)`."""
        outputs = self.context.cached(("ablate", infill), lambda: self.context.suffix.ablate_channels(infill))
        return self._scored(outputs.transpose(0, 1))

    @property
    def head_weights(self) -> Tensor:
        """Weights of the linear head for the target `(b, c)`; raises `MethodError` without such a head."""
        gap_head = self.context.gap_linear_head
        if gap_head is None:
            raise MethodError(
                "cam needs a layer that is followed by average pooling and one linear layer or 1 × 1 convolution only, "
                f"and {self.context.layer.layer.name!r} is not. Use grad_cam: it equals cam where cam exists."
            )
        with torch.enable_grad():
            output = self.output.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.target(output).sum(), output)
        return gradient @ gap_head.weight

    def score_activations(self, variants: Variants, count: int, *, shared: Hashable = None) -> Tensor:
        """Return the scores `(count, b)` for other activations; only the suffix of the network runs.

        Args:
            variants: Returns activations `(n, b, c, h, w)` for variant indices `(n,)`.
            count: Number of variants.
            shared: A key for variants that do not depend on the target, so that all targets share their runs.
        """
        return self._scored(self.context.cached(shared, lambda: self.context.suffix.outputs(variants, count)))

    def score_inputs(self, variants: Variants, count: int, *, shared: Hashable = None) -> Tensor:
        """Return the scores `(count, b)` of other network inputs.

        Args:
            variants: Returns network inputs `(n, b, c, *grid)` for variant indices `(n,)`.
            count: Number of variants.
            shared: A key for variants that do not depend on the target, so that all targets share their runs.
        """
        return self._scored(self.context.cached(shared, lambda: self.context.images.outputs(variants, count)))

    def input_gradients(self, variants: Variants, count: int) -> Chunks:
        """Yield indices `(n,)`, scores `(n, b)` and gradients `(n, b, c, *grid)` of input variants, by chunks."""
        return self.context.images.input_gradients(self._scored, variants, count)

    def guided(self, variants: Variants, count: int) -> Chunks:
        """Yield the same as `input_gradients`, with the rule of guided backpropagation at ReLUs."""
        return self.context.images.input_gradients(self._scored, variants, count, "guided")

    def deconvolved(self, variants: Variants, count: int) -> Chunks:
        """Yield the same as `input_gradients`, with the rule of deconvolution at ReLUs."""
        return self.context.images.input_gradients(self._scored, variants, count, "deconvolution")

    @property
    def attention(self) -> Attention:
        """Attention weights of a transformer; raises `MethodError` without attention between all tokens."""
        return self.context.attended.attention

    @property
    def attention_gradients(self) -> tuple[Tensor, ...]:
        """Gradient of the score at the attention weights of every block, each `(b, heads, t, t)`."""
        return self.context.attended.gradients(lambda output: self.target(self.context.read_scores(output)))

    def multipliers(self, start: Tensor) -> Tensor:
        """Return DeepLIFT multipliers `(b, c, *grid)` of the score from baseline inputs `start` to the inputs."""
        images = self.context.images
        return images.axes.to_grid(multipliers(images, self._scored, images.axes.from_grid(start)))

    def bias_gradients(self) -> tuple[Tensor, list[Tensor]]:
        """Return the input gradient `(b, c, *grid)` and each bias's contribution: the same axes, or sums `(b,)`.

        Raises:
            MethodError: The network processes the frames of a video as images of their own.
        """
        if self.context.images.axes.frames:
            raise MethodError(
                "full_grad has no rule for networks that process the frames of a video as images of their own. Use "
                "input_x_gradient or integrated_gradients."
            )
        return bias_gradients(self.context.images, self.target.of)

    def relevance(self, rule: str, *, epsilon: float, gamma: float, contrast: bool = False) -> tuple[Tensor, Tensor]:
        """Propagate relevance to the network inputs or the layer.

        Args:
            rule: Name of the propagation rule.
            epsilon: Stabiliser of the denominators.
            gamma: Extra weight of positive contributions, for "gamma".
            contrast: Whether the other classes start with the same total relevance, negative and in equal parts.

        Returns:
            The relevance, `(b, c, *grid)` or `(b, c, h, w)`, and the total relevance at the output `(b,)`.
        """
        run = self.context.relevances(RelevanceRule(rule, epsilon, gamma))
        values, total = run.propagate(self.target, contrast=contrast)
        return (values if self.context.layer_trace else self.context.images.axes.to_grid(values)), total

    layer_relevance = relevance

    def layer_at(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the layer's activations and gradients `(b, c, h, w)` for other network inputs `(b, c, *grid)`."""
        with torch.no_grad():
            changed = with_images(self.context.inputs, self.context.images.axes.from_grid(inputs))
            recorded = trace(self.context.copy, changed, [self.context.layer.layer], gradients=True)
            with torch.enable_grad():
                scores = self._scored(self.context.read_scores(recorded.output)[None])
            return recorded.layers[0].activations, recorded.gradients(scores)[0][0]

    def hvp(self, direction: Tensor) -> Tensor:
        """Return the Hessian-vector product of the score with `direction`, `(b, c, h, w)`, at the activations."""

        def score_of(image: int) -> Callable[[Any], Tensor]:
            return lambda output: self.target.of(image)(self.context.read_scores(output))

        context = self.context
        return torch.stack([context.trace.hvp(context.layer, score_of(i), d, i) for i, d in enumerate(direction)])

    def competing_classes(self, n: int) -> tuple[Tensor, Tensor]:
        """Return gradients `(n, b, c, h, w)` and scores `(n, b)` of the n classes nearest in score to the target's."""
        context, targets = self.context, competing_classes(self.target, self.output, n, "nearest")
        with torch.enable_grad():
            output = context.read_scores(context.trace.output)
            scores = torch.stack([other(output) for other in targets])
        return context.trace.input_gradients(context.layer, scores), scores.detach()

    def progress(self, done: int, total: int) -> None:
        """Report progress, for methods that run the network step by step."""
        self.context.progress(done, total)

    def _scored(self, outputs: Tensor) -> Tensor:
        """Return scores of the target `(n, b)` from class scores `(n, b, k)`."""
        return torch.stack([self.target.of(i)(outputs[:, i]) for i in range(outputs.shape[1])], dim=1)
