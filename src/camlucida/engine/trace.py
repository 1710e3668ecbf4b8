"""One run of a network copy: the output, the outputs and gradients of the wanted layers, and reruns of the suffix."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from camlucida.engine import nested
from camlucida.engine.batch_axes import BatchAxis, batch_axes, n_images
from camlucida.engine.cost import FORWARDS_WITH_GRADIENT, add_cost
from camlucida.engine.geometry import check_part
from camlucida.engine.image_axes import image_size
from camlucida.engine.layers import Layer
from camlucida.engine.layout import Layout, infer_layout
from camlucida.engine.module_calls import profile_calls
from camlucida.engine.network_copy import NetworkCopy
from camlucida.engine.recording import CapturedOutput, Recording, StorageKey, WantedCalls, storage_key
from camlucida.engine.replay import CallAfterLayer, run_suffix
from camlucida.errors import LayerError


@dataclass(frozen=True)
class LayerTrace:
    """A layer in one run: its output, and how that maps to a spatial grid.

    Attributes:
        layer: The layer.
        capture: Its output.
        layout: Layout of the output's main tensor.
    """

    layer: Layer
    capture: CapturedOutput
    layout: Layout

    @property
    def activations(self) -> Tensor:
        """Return the activations (b, c, h, w), in float32 or better, detached from the graph."""
        return at_least_float32(self.layout.to_grid(self.capture.tensor.detach()))


class Trace:
    """The result of `trace`.

    Attributes:
        output: The network's output as returned; part of the layers' graph if gradients were requested.
        layers: The traced layers, in the order requested.
        copy: The network copy that was run.
    """

    def __init__(
        self,
        copy: NetworkCopy,
        inputs: Any,
        output: Any,
        layers: Sequence[LayerTrace],
        written: Collection[StorageKey] = (),
    ) -> None:
        self.output = output
        self.layers = tuple(layers)
        self.copy = copy
        self._inputs = inputs
        self._written = written  # memory locations of inputs that the network modifies

    def gradients(self, scores: Tensor, *, keep: bool = False) -> list[list[Tensor]]:
        """Compute the gradient of every target's score at every layer, from one graph of the suffix.

        Args:
            scores: Scores computed from `output` with grad mode on, (k, b).
            keep: Whether to keep the graph, for `input_gradients`; otherwise it is freed after this call.

        Returns:
            For every layer, for every target, the gradient (b, c, h, w) in float32 or better.

        Raises:
            LayerError: If the scores do not depend on a layer.
        """
        tensors = [traced.capture.tensor for traced in self.layers]
        per_class = [_class_gradients(scores, k, tensors, keep) for k in range(len(scores))]
        return [
            [_on_grid(traced, gradient) for gradient in layer_gradients]
            for traced, layer_gradients in zip(self.layers, zip(*per_class, strict=True), strict=True)
        ]

    def rerun(self, traced: LayerTrace, variants: Tensor, image: int) -> Any:
        """Run the suffix of the network on other activations of a layer.

        Args:
            traced: The layer.
            variants: Replacements of the layer's activations for one image, (n, c, h, w).
            image: Index of the image.

        Returns:
            The network's output for the n variants, without a graph.
        """
        return self._run_suffix(traced, variants, image)

    def rerun_with_calls(self, traced: LayerTrace, variants: Tensor, image: int) -> tuple[Any, list[CallAfterLayer]]:
        """Run the suffix as `rerun` does; return the output and the module calls after the layer."""
        later_calls: list[CallAfterLayer] = []
        return self._run_suffix(traced, variants, image, later_calls=later_calls), later_calls

    def hvp(self, traced: LayerTrace, score: Callable[[Any], Tensor], direction: Tensor, image: int) -> Tensor:
        """Compute a Hessian-vector product of a score at the layer's activations of one image.

        Args:
            traced: The layer.
            score: A function of the network's output for one image that returns its score, (1,).
            direction: The vector d, (c, h, w).
            image: Index of the image.

        Returns:
            H d, (c, h, w), where H is the second derivative of the score.
        """
        with torch.inference_mode(False), torch.enable_grad(), _plain_attention():
            activations = traced.activations[image : image + 1].clone().requires_grad_()
            value = score(self._run_suffix(traced, activations, image, graph=True))
            (gradient,) = torch.autograd.grad(value.sum(), activations, create_graph=True)
            if not gradient.requires_grad:  # piecewise linear up to the score: zero curvature
                return torch.zeros_like(direction)
            (product,) = torch.autograd.grad(gradient, activations, direction[None], allow_unused=True)
        return torch.zeros_like(direction) if product is None else product[0].detach()

    def input_gradients(self, traced: LayerTrace, scores: Tensor) -> Tensor:
        """Compute the gradients of further scores at a layer.

        Args:
            traced: The layer.
            scores: Scores computed from `output` with grad mode on, (n, b). `gradients` must have kept the graph.

        Returns:
            Gradients (n, b, c, h, w); 0 where a score does not depend on the layer.
        """
        per_class = [_class_gradients(scores, k, [traced.capture.tensor], keep=True)[0] for k in range(len(scores))]
        zeros = torch.zeros_like(traced.activations)
        return torch.stack([zeros if gradient is None else _on_grid(traced, gradient) for gradient in per_class])

    def _run_suffix(self, traced: LayerTrace, variants: Tensor, image: int, **options: Any) -> Any:
        capture, layout = traced.capture, traced.layout
        return run_suffix(self.copy, self._inputs, capture, layout, variants, image, written=self._written, **options)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Compute attention in steps that can be differentiated twice.

    PyTorch's switch is global to the process, so one thread at a time may use it.
    """
    with _attention_lock, sdpa_kernel(SDPBackend.MATH):
        yield


_attention_lock = threading.Lock()


def trace(
    copy: NetworkCopy, inputs: Any, layers: Sequence[Layer], *, gradients: bool = False, rerun: bool = False
) -> Trace:
    """Run the network once and capture the outputs of layers.

    Args:
        copy: The network copy.
        inputs: A tensor (b, c, H, W), a tuple of arguments or a dict of keyword arguments, on the network's device.
        layers: The layers to capture.
        gradients: Whether to keep the graph from the first of the layers on. It includes no parameters.
        rerun: Whether to record what is needed to run the suffix of the network again.

    Raises:
        LayerError: If a layer is not called on these inputs, or has no spatial grid.
    """
    with torch.inference_mode(False), torch.no_grad():
        detached = nested.transform(inputs, lambda _, t: t.clone() if t.is_inference() else t.detach())
        if rerun:  # before the tape is recorded, so that the two are never in memory together
            batch_axes(copy, detached)
        recorder = _Recorder(copy, detached, gradients, rerun)
        recording, output = recorder(_calls_to_capture(layers))
        other_counts = {
            layer.module: recording.calls[layer.module]
            for layer in layers
            if "#" not in layer.name and recording.calls[layer.module] not in (0, layer.call)
        }
        if other_counts:  # the profile's image took another path: here the last call has another number
            recording, output = recorder(_calls_to_capture(layers, other_counts))
        if overwritten := recording.overwritten():
            recording, output = recorder(recording.wanted, overwritten)
        traced = [_trace_layer(copy, detached, recording, layer) for layer in layers]
    return Trace(copy, detached, output, traced, recorder.written_keys)


@dataclass
class _Recorder:
    """Runs the network copy on the same inputs as often as needed.

    Attributes:
        copy: The network copy.
        inputs: The inputs.
        gradients: Whether to build the graph after the layers.
        tape: Whether to record tapes.
        written_keys: Memory locations of the inputs that the network modifies, after a run.
    """

    copy: NetworkCopy
    inputs: Any
    gradients: bool
    tape: bool
    written_keys: Collection[StorageKey] = ()

    def __call__(self, wanted: WantedCalls, copies: Collection[int] = ()) -> tuple[Recording, Any]:
        recording = Recording(wanted, self.gradients, self.tape, copies)
        inputs = nested.transform(self.inputs, lambda _, t: t.clone())
        initial_versions = [(t, t._version) for _, t in nested.tensors(inputs)]
        # Nothing before the first layer requires a gradient, so grad mode costs nothing there. It must be on already,
        # or a `no_grad` of the network's own that ends after the layer would switch it off again.
        with torch.set_grad_enabled(self.gradients):
            output = self.copy.run(recording, inputs)
        add_cost(n_images(inputs) * (FORWARDS_WITH_GRADIENT if self.gradients else 1))
        self.written_keys = [storage_key(t) for t, version in initial_versions if t._version != version]
        return recording, output


def _calls_to_capture(layers: Sequence[Layer], n_calls: Mapping[nn.Module, int] | None = None) -> WantedCalls:
    """Return the outputs to capture; `n_calls` overrides the profile's number of calls of a module."""
    wanted: dict[tuple[nn.Module, int], list[str | None]] = {}
    for layer in layers:
        keys = wanted.setdefault((layer.module, _call_number(layer, n_calls or {})), [])
        if layer.key not in keys:
            keys.append(layer.key)
    return wanted


def _call_number(layer: Layer, n_calls: Mapping[nn.Module, int]) -> int:
    """Return the call that a layer refers to: the one in its name, otherwise the last one."""
    return layer.call if "#" in layer.name else n_calls.get(layer.module, layer.call)


def _trace_layer(copy: NetworkCopy, inputs: Any, recording: Recording, layer: Layer) -> LayerTrace:
    n_calls = recording.calls[layer.module]
    capture = recording.captures.get((layer.module, _call_number(layer, recording.calls), layer.key))
    if capture is None:
        reason = f"was called only {n_calls} times" if n_calls else "was not called"
        raise LayerError(f"{layer.name!r} {reason} while {type(copy.module).__name__} ran on these inputs.")
    return LayerTrace(layer, capture, _layout_of(copy, inputs, layer, capture))


def _layout_of(copy: NetworkCopy, inputs: Any, layer: Layer, capture: CapturedOutput) -> Layout:
    """Return the verified layout of a captured output.

    Raises:
        LayerError: If it has no spatial grid, or none that could be verified.
    """
    profile = profile_calls(copy, inputs)
    module_call = profile.find_call(layer.module, capture.call)
    layout = module_call.layout if module_call is not None and layer.key is None else None
    shape = tuple(capture.tensor.shape)
    if layout is None and (layer.key is not None or _is_single_cell(shape)) and module_call is not None:
        image_shape = (1, *shape[1:]) if shape[:1] == (n_images(inputs),) else (shape[0], 1, *shape[2:])
        layout = check_part(copy, inputs, profile, module_call, layer.key, image_shape)
    if module_call is None:  # a call that the first image does not reach: only a grid seen elsewhere is certain
        inferred = infer_layout(shape, batch_size=n_images(inputs), image=image_size(copy, inputs))
        layout = inferred if inferred and inferred.kind == "nchw" and inferred.grid in profile.grids else None
    if layout is None:
        raise LayerError(
            f"{layer.name!r} returns a tensor of shape {shape}, which has no spatial grid, or none that could be "
            "verified. Choose a layer with a grid; `camlucida layers` lists them."
        )
    if layout.frames and n_images(inputs) > 1:
        _check_frames(copy, inputs, layer, capture, layout)
    return layout


def _check_frames(copy: NetworkCopy, inputs: Any, layer: Layer, capture: CapturedOutput, layout: Layout) -> None:
    """Raise `LayerError` unless the frames of one video follow each other in the rows of a batch of videos."""
    axes = batch_axes(copy, inputs).axes_of(capture.ordinal, capture.module) or {}
    if axes.get(capture.path) != BatchAxis(0, layout.frames):
        raise LayerError(
            f"the rows that {layer.name!r} returns for a batch of videos could not be assigned to their frames: the "
            "frames of one video must follow each other, as after frames.flatten(0, 1). Explain one video at a time."
        )


def _is_single_cell(shape: tuple[int, ...]) -> bool:
    """Return whether a shape is (b, c, 1, 1) or (b, c, 1, 1, 1), which needs no check."""
    return len(shape) >= 4 and set(shape[2:]) == {1}


def _class_gradients(scores: Tensor, k: int, tensors: Sequence[Tensor], keep: bool = False) -> Sequence[Tensor | None]:
    """Return d scores[k] / d tensor for every tensor. The images of a batch are independent."""
    if not scores.requires_grad:
        return [None] * len(tensors)
    keep_graph = keep or k < len(scores) - 1
    with torch.enable_grad():
        score = scores[k].sum()  # of one number: given a gradient to start from, `grad` imports SymPy for half a second
    return torch.autograd.grad(score, tensors, retain_graph=keep_graph, allow_unused=True)


def _on_grid(traced: LayerTrace, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        raise LayerError(f"the score does not depend on {traced.layer.name!r}: it has no gradient there.")
    return at_least_float32(traced.layout.to_grid(gradient))


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 or better: maps are computed in this precision in any network."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
