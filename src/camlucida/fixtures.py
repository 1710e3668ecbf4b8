"""What methods may ask for by naming it, computed when it is asked for. The table is in `methods/registry.py`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import Attended, LinearEnd, Pictures, Rest, Trace, Traced, Twin, attend, linear_end, trace
from camlucida.engine.biases import bias_gradients
from camlucida.engine.deeplift import multipliers
from camlucida.engine.pictures import Variants
from camlucida.engine.relevance import RelevanceRule, Relevances
from camlucida.engine.repeats import Repeats
from camlucida.errors import MethodError
from camlucida.models.model import Output
from camlucida.outputs import class_scores
from camlucida.rivals import rivals_of
from camlucida.targets import Target
from camlucida.types import Attention, ProgressCallback

Chunks = Iterator[tuple[Tensor, Tensor, Tensor]]
"""Which variants (n,), their scores (n, b), the scores' gradients (n, b, c, H, W); chunk by chunk."""


@dataclass
class Place:
    """What all targets share, computed once: a layer of a run, or the pictures themselves where `traced` is None."""

    twin: Twin
    inputs: Any
    reading: Output
    run: Trace
    traced: Traced | None
    tick: ProgressCallback
    repeats: Repeats = field(default_factory=Repeats)
    _shared: dict[Hashable, Tensor] = field(default_factory=dict)
    _relevances: dict[RelevanceRule, Relevances] = field(default_factory=dict)

    @property
    def layer(self) -> Traced:
        assert self.traced is not None, "a method that asks for a layer got none"
        return self.traced

    @cached_property
    def activations(self) -> Tensor:
        return self.layer.activations

    @cached_property
    def end(self) -> LinearEnd | None:
        return linear_end(self.run, self.layer, self.read)

    @cached_property
    def pictures(self) -> Pictures:
        if not isinstance(self.inputs, Tensor):
            raise MethodError(
                "this method runs the network on other pictures, and a network with several inputs has no one picture."
                " Choose a method that asks for activations and gradients only, such as grad_cam."
            )
        return Pictures(self.twin, self.inputs, self.read, self.tick, self.repeats)

    @cached_property
    def attended(self) -> Attended:
        return attend(self.twin, self.inputs, self.read)

    @cached_property
    def rest(self) -> Rest:
        return Rest(self.run, self.layer, self.read, self.tick, self.repeats)

    def relevances(self, rule: RelevanceRule) -> Relevances:
        """The run under a rule, from which all targets propagate back."""
        if rule not in self._relevances:
            inputs = self.pictures.inputs if self.traced is None else self.inputs
            self._relevances[rule] = Relevances(self.twin, inputs, self.read, rule, self.traced)
        return self._relevances[rule]

    def read(self, output: Any) -> Tensor:
        return class_scores(output, self.reading)

    def shared(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """The class scores under `key`, computed by the first target that asks."""
        if key is None:
            return compute()
        if key not in self._shared:
            self._shared[key] = compute()
        return self._shared[key]


@dataclass(frozen=True)
class Fixtures:
    """The fixtures of one place and one target. Each property or function is what a parameter of that name gets."""

    place: Place
    target: Target
    output: Tensor
    score: Tensor
    gradients: Tensor | None
    _notes: dict[str, Tensor] = field(default_factory=dict)

    @property
    def activations(self) -> Tensor:
        return self.place.activations

    @property
    def inputs(self) -> Tensor:
        return self.place.pictures.inputs

    def note(self, name: str, value: Tensor) -> None:
        """Report one number an image (b,) beside the map."""
        self._notes[name] = value.detach()

    def take_notes(self) -> dict[str, Tensor]:
        """What was reported since the last time."""
        taken = dict(self._notes)
        self._notes.clear()
        return taken

    def ablate(self, infill: float) -> Tensor:
        without = self.place.shared(("ablate", infill), lambda: self.place.rest.without_channels(infill))
        return self._scored(without.transpose(0, 1))

    @property
    def head(self) -> Tensor:
        end = self.place.end
        if end is None:
            raise MethodError(
                "cam needs a layer that is followed by average pooling and one linear layer only, and "
                f"{self.place.layer.layer.name!r} is not. Use grad_cam: it equals cam where cam exists."
            )
        with torch.enable_grad():
            output = self.output.clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.target(output).sum(), output)
        return slope @ end.weight

    def rerun(self, variants: Variants, count: int, *, shared: Hashable = None) -> Tensor:
        """Variants of the activations (n, b, c, h, w) in, scores (count, b) out; only the rest of the network runs."""
        return self._scored(self.place.shared(shared, lambda: self.place.rest.outputs(variants, count)))

    def forward(self, variants: Variants, count: int, *, shared: Hashable = None) -> Tensor:
        """Variants of the pictures (n, b, c, H, W) in, scores (count, b) out.

        shared    a name, where the pictures do not depend on the target: then all targets share their runs
        """
        return self._scored(self.place.shared(shared, lambda: self.place.pictures.outputs(variants, count)))

    def slopes(self, variants: Variants, count: int) -> Chunks:
        """Chunk by chunk, of variants of the pictures: which (n,), scores (n, b), gradients (n, b, c, H, W)."""
        return self.place.pictures.slopes(self._scored, variants, count)

    def guided(self, variants: Variants, count: int) -> Chunks:
        """As `slopes`, with guided backpropagation's way back through ReLUs."""
        return self.place.pictures.slopes(self._scored, variants, count, "guided")

    def deconvolved(self, variants: Variants, count: int) -> Chunks:
        """As `slopes`, with deconvolution's way back through ReLUs."""
        return self.place.pictures.slopes(self._scored, variants, count, "deconvolution")

    @property
    def attention(self) -> Attention:
        """What the tokens of a transformer looked at; refuses networks without attention between all tokens."""
        return self.place.attended.attention

    @property
    def attention_gradients(self) -> tuple[Tensor, ...]:
        """The score's gradient at every block's attention weights (b, heads, t, t)."""
        return self.place.attended.gradients(lambda output: self.target(self.place.read(output)))

    def multipliers(self, start: Tensor) -> Tensor:
        """DeepLIFT's slopes (b, c, H, W) of the score between the baseline pictures `start` and the pictures."""
        return multipliers(self.place.pictures, self._scored, start)

    def bias_gradients(self) -> tuple[Tensor, list[Tensor]]:
        """The score's gradient (b, c, H, W) at the pictures, and what every bias adds: (b, c, h, w), or sums (b,)."""
        return bias_gradients(self.place.pictures, self.target.of)

    def relevance(self, rule: str, *, epsilon: float, gamma: float, contrast: bool = False) -> tuple[Tensor, Tensor]:
        """Relevance propagated to the pictures (b, c, H, W) or the layer (b, c, h, w), and what it began with (b,).

        contrast    the classes not asked for begin with the same amount in all, negative and in equal parts
        """
        return self.place.relevances(RelevanceRule(rule, epsilon, gamma)).of(self.target, contrast=contrast)

    layer_relevance = relevance

    def look(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's activations and gradients (b, c, h, w) on other pictures (b, c, H, W)."""
        with torch.no_grad():
            run = trace(self.place.twin, inputs, [self.place.layer.layer], gradients=True)
            with torch.enable_grad():
                scores = self._scored(self.place.read(run.output)[None])
            return run.layers[0].activations, run.gradients(scores)[0][0]

    def curvature(self, direction: Tensor) -> Tensor:
        """The score's second derivative at the activations along `direction` (b, c, h, w): H d, same shape."""

        def score_of(image: int) -> Callable[[Any], Tensor]:
            return lambda output: self.target.of(image)(self.place.read(output))

        place = self.place
        return torch.stack([place.run.curvature(place.layer, score_of(i), d, i) for i, d in enumerate(direction)])

    def rivals(self, n: int) -> tuple[Tensor, Tensor]:
        """The n classes nearest in score to its own: d score / d activations (n, b, c, h, w), and scores (n, b)."""
        place, others = self.place, rivals_of(self.target, self.output, n, "nearest")
        with torch.enable_grad():
            output = place.read(place.run.output)
            scores = torch.stack([other(output) for other in others])
        return place.run.slopes(place.layer, scores), scores.detach()

    def progress(self, done: int, total: int) -> None:
        """Say how far it is, where a method itself asks for one run after the other."""
        self.place.tick(done, total)

    def _scored(self, outputs: Tensor) -> Tensor:
        """Class scores (n, b, k) as scores of the target (n, b)."""
        return torch.stack([self.target.of(i)(outputs[:, i]) for i in range(outputs.shape[1])], dim=1)
