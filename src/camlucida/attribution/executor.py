"""Run the network once and compute every requested map from that run; views and competing classes run it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from camlucida.attribution.combine import COMBINE
from camlucida.attribution.frame_inputs import FrameInputs, is_framewise
from camlucida.attribution.image_argument import image_of
from camlucida.attribution.method_inputs import LayerContext, MethodInputs
from camlucida.attribution.read_scores import OutputReader
from camlucida.engine import Layer, LayerTrace, NetworkCopy, Trace, trace
from camlucida.engine.batch_axes import n_images
from camlucida.engine.named_inputs import with_images
from camlucida.engine.run_options import RunOptions
from camlucida.errors import CamlucidaError, MethodError
from camlucida.methods import Combined, Method
from camlucida.methods.registry import SUFFIX_INPUTS
from camlucida.targets import Target
from camlucida.tasks import OutputActivation
from camlucida.types import ProgressCallback


@dataclass(frozen=True)
class Fused:
    """Several layers that were fused into one map; which records use like a layer."""

    layers: tuple[Layer, ...]

    @property
    def name(self) -> str:
        return "+".join(layer.name for layer in self.layers)

    @property
    def label(self) -> str:
        return "+".join(layer.label for layer in self.layers)


@dataclass
class ForwardedProgress:
    """Forward progress, unless an enclosing combinator already reports it."""

    callback: ProgressCallback
    muted: bool = False

    def __call__(self, done: int, total: int) -> None:
        if not self.muted:
            self.callback(done, total)

    @contextmanager
    def muting(self) -> Iterator[None]:
        """Mute the progress of everything that runs in the block."""
        was_muted, self.muted = self.muted, True
        try:
            yield
        finally:
            self.muted = was_muted


@dataclass(frozen=True)
class ExecutionRequest:
    """The settings that all runs of a request share.

    Attributes:
        copy: The copy of the network.
        layers: The layers to record.
        read_scores: Reads the class scores from the network's output.
        needs: Names of all inputs that the methods need.
        choose_targets: Returns the targets for class scores `(b, k)`.
        progress: Called as `progress(done, total)`.
        run_options: Precision and batch size of methods that run the network many times.
    """

    copy: NetworkCopy
    layers: tuple[Layer, ...]
    read_scores: OutputReader
    needs: frozenset[str]
    choose_targets: Callable[[Tensor], Sequence[Target]]
    progress: ProgressCallback
    run_options: RunOptions = field(default_factory=RunOptions)

    @cached_property
    def forwarded_progress(self) -> ForwardedProgress:
        return ForwardedProgress(self.progress)


@dataclass(frozen=True)
class AttributionRun:
    """A run of the network on some inputs. Lists of maps have one row per layer, with one map `(b, h, w)` per target.

    Attributes:
        request: The settings of the run.
        inputs: Network inputs.
        trace: Recording of the forward pass.
        output: Class scores `(b, k)`.
        targets: The targets.
        scores: Scores of the targets `(targets, b)`.
        gradients: Per layer and target, the gradient at the activations; empty if no method needs gradients.
    """

    request: ExecutionRequest
    inputs: Any
    trace: Trace
    output: Tensor
    targets: tuple[Target, ...]
    scores: Tensor
    gradients: Sequence[Sequence[Tensor]]

    @property
    def activation(self) -> OutputActivation:
        """Return how the class scores become probabilities."""
        return self.request.read_scores.activation

    @cached_property
    def at_layers(self) -> list[list[MethodInputs]]:
        """The inputs of methods, per layer and target."""
        return [
            self._inputs_at(traced, self.gradients[l] if self.gradients else None)
            for l, traced in enumerate(self.trace.layers)
        ]

    @cached_property
    def at_images(self) -> list[MethodInputs]:
        """The inputs, per target, of methods that map the network input."""
        return self._inputs_at(None, None)

    def maps(
        self, method: Method | Combined, options: Mapping[str, Any], layer_indices: Sequence[int]
    ) -> list[list[Tensor]]:
        """Compute the signed maps of a method.

        Args:
            method: The method.
            options: All options of the method.
            layer_indices: Indices of the layers.

        Returns:
            One row per layer, with one map per target; a single row if the method fuses layers or needs none.
        """
        if isinstance(method, Combined):
            return COMBINE[method.combinator.kind](self, method, layer_indices)
        rows = self._method_inputs(method, layer_indices)
        return [[_compute(method, inputs, options) for inputs in row] for row in rows]

    def colours(
        self, method: Method, options: Mapping[str, Any], layer_indices: Sequence[int]
    ) -> list[list[tuple[Tensor, Tensor]]]:
        """Compute the maps of a method as `maps` does, each with the map in colour `(b, c, *grid)`."""
        rows = self._method_inputs(method, layer_indices)
        return [[_compute_colour(method, inputs, options) for inputs in row] for row in rows]

    def notes(self, method: Method | Combined, layer_indices: Sequence[int]) -> list[list[Mapping[str, Tensor]]]:
        """Return what the method reported beside the maps just computed, in their order; empty for combined methods."""
        if isinstance(method, Combined):
            return [
                [{} for _ in self.targets]
                for _ in ([None] if method.fuses_layers or not layer_indices else layer_indices)
            ]
        return [[inputs.reports() for inputs in row] for row in self._method_inputs(method, layer_indices)]

    def _method_inputs(self, method: Method, layer_indices: Sequence[int]) -> list[list[MethodInputs]]:
        return [self.at_layers[l] for l in layer_indices] if method.needs_layer else [self.at_images]

    def inner_maps(self, combined: Combined, layer_indices: Sequence[int]) -> list[list[Tensor]]:
        """Compute the maps of the method inside a combinator."""
        return self.maps(combined.inner, combined.inner.options, layer_indices)

    def rerun_on(self, images: Tensor, reason: str) -> AttributionRun:
        """Run the same request on other network inputs.

        Args:
            images: Other network inputs `(b, c, H, W)`.
            reason: Name of the combinator, for the message of the error.

        Raises:
            MethodError: The network does not accept inputs of this size.
        """
        image = image_of(self.inputs)
        if images is image:
            return self
        request = self._request_for(self.targets)
        try:
            return run_attribution(request, with_images(self.inputs, images))
        except CamlucidaError:
            raise
        except Exception as error:
            if images.shape == image.shape:
                raise
            network_type, size = type(request.copy.module).__name__, "×".join(map(str, images.shape[-2:]))
            raise MethodError(
                f"{reason} runs the network at other sizes, and {network_type} cannot run at {size}: "
                f"{' '.join(str(error).split())[:120]}. Choose other factors, or flips, smooth or crops."
            ) from error

    def with_targets(self, targets: Sequence[Target]) -> AttributionRun:
        """Run the same inputs for other targets."""
        return run_attribution(self._request_for(targets), self.inputs)

    def _request_for(self, targets: Sequence[Target]) -> ExecutionRequest:
        """Return the request for other targets, with a progress that is muted together with that of this run."""
        return dataclasses.replace(
            self.request, choose_targets=lambda _: targets, progress=self.request.forwarded_progress
        )

    def _inputs_at(self, layer_trace: LayerTrace | None, gradients: Sequence[Tensor] | None) -> list[MethodInputs]:
        request = self.request
        context = LayerContext(
            request.copy,
            self.inputs,
            request.read_scores,
            self.trace,
            layer_trace,
            request.forwarded_progress,
            request.run_options,
        )
        return [
            MethodInputs(context, target, self.output, self.scores[t], gradients[t] if gradients else None)
            for t, target in enumerate(self.targets)
        ]


def _compute(method: Method, inputs: MethodInputs, options: Mapping[str, Any]) -> Tensor:
    """Compute the map of a method, frame by frame where the layer and the method allow it."""
    frames = _frames_of(method, inputs)
    if frames is None:
        return method(*(getattr(inputs, need) for need in method.needs), **options)
    return frames.join_maps(method(*(getattr(frames, need) for need in method.needs), **options))


def _compute_colour(method: Method, inputs: MethodInputs, options: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Compute the map of a method and its map in colour, frame by frame as `_compute` does."""
    frames = _frames_of(method, inputs)
    if frames is None:
        return method.colour(*(getattr(inputs, need) for need in method.needs), **options)
    maps, colours = method.colour(*(getattr(frames, need) for need in method.needs), **options)
    return frames.join_maps(maps), frames.join_frames(colours)


def _frames_of(method: Method, inputs: MethodInputs) -> FrameInputs | None:
    """Return the inputs of single frames, where the layer has frames and the method maps each by itself; else None."""
    layer = inputs.context.layer_trace
    if layer is None or not layer.layout.frames or not is_framewise(method.needs):
        return None
    return FrameInputs(inputs, layer.layout.frames)


def run_attribution(request: ExecutionRequest, inputs: Any) -> AttributionRun:
    """Run the network once. Grad mode must be disabled by the caller."""
    needs = request.needs
    recorded = trace(
        request.copy,
        inputs,
        request.layers,
        gradients=bool({"gradients", "competing_classes"} & needs),
        rerun=bool(SUFFIX_INPUTS & needs),
    )
    with torch.enable_grad():
        output = request.read_scores(recorded.output, n_images(inputs))
        targets = tuple(request.choose_targets(output.detach()))
        scores = torch.stack([target(output) for target in targets])
    gradients = recorded.gradients(scores, keep="competing_classes" in needs) if "gradients" in needs else []
    return AttributionRun(request, inputs, recorded, output.detach(), targets, scores.detach(), gradients)
