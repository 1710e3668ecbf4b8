"""One run of a twin: the output, what the wanted layers gave out, its gradients, and the rest of the network again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camlucida.engine import structure
from camlucida.engine.layers import Layer
from camlucida.engine.layout import Layout, infer
from camlucida.engine.survey import picture_size, survey
from camlucida.engine.tape import Capture, Finished, Recording, Replay, Returned, WentAstray
from camlucida.engine.twin import Twin
from camlucida.errors import LayerError, ModelError


@dataclass(frozen=True)
class Traced:
    """A layer in one run: what it gave out, and how that lies on the picture."""

    layer: Layer
    capture: Capture
    layout: Layout

    @property
    def activations(self) -> Tensor:
        """(b, c, h, w), at least float32, cut off from the graph."""
        return at_least_float32(self.layout.to_grid(self.capture.tensor.detach()))


class Trace:
    """What `trace` returns.

    output    of the network, as it gave it out; in the layers' graph when gradients were asked for
    layers    in the order asked for
    """

    def __init__(self, twin: Twin, inputs: Any, output: Any, layers: Sequence[Traced]) -> None:
        self.output = output
        self.layers = tuple(layers)
        self.twin = twin
        self._inputs = inputs

    def gradients(self, scores: Tensor) -> list[Tensor]:
        """The gradient of every class's score at every layer, from one backward pass over the rest of the network.

        scores    (k, b), computed from `output` with grad mode on
        returns   for every layer (k, b, c, h, w), at least float32

        The graph is freed: ask once. Raises `LayerError` where the scores do not depend on a layer.
        """
        found = _gradients(scores, [traced.capture.tensor for traced in self.layers])
        grids = []
        for traced, gradient in zip(self.layers, found, strict=True):
            if gradient is None:
                raise LayerError(f"the score does not depend on {traced.layer.name!r}: it has no gradient there.")
            grids.append(torch.stack([at_least_float32(traced.layout.to_grid(g)) for g in gradient]))
        return grids

    def rerun(self, traced: Traced, variants: Tensor, image: int) -> Any:
        """Run the rest of the network on other activations of a layer.

        variants   (n, c, h, w): what the layer shall give out for `image`, n times over
        returns    the network's output for these n, without a graph
        """
        return self._played(traced, variants, image, None)

    def rerun_noting(self, traced: Traced, variants: Tensor, image: int) -> tuple[Any, list[Finished]]:
        """As `rerun`, with the calls that ran after the layer."""
        after: list[Finished] = []
        return self._played(traced, variants, image, after), after

    def _played(self, traced: Traced, variants: Tensor, image: int, after: list[Finished] | None) -> Any:
        wanted = traced.capture
        with torch.inference_mode(False), torch.no_grad():
            replacement = self._replacement(traced, variants, image)
            inputs = structure.transform(self._inputs, lambda _, t: _repeated(t, 0, 1, image, len(variants)))
            hand_out = self._hand_out(traced, image, len(variants))
            try:
                play = Replay(wanted.module, wanted.call, replacement, wanted.tape, hand_out, after)
                return self.twin.run(play, inputs)
            except WentAstray:
                play = Replay(wanted.module, wanted.call, replacement, None, after=after)
                return self.twin.run(play, inputs)

    def _replacement(self, traced: Traced, variants: Tensor, image: int) -> Any:
        """The layer's whole output (tuple, dict, tokens with their class token), n times, with the variants put in."""
        capture, layout = traced.capture, traced.layout
        n, images = len(variants), _images(self._inputs)

        def for_image(_: Any, tensor: Tensor) -> Tensor:
            axis = layout.batch_axis if tensor.ndim > layout.batch_axis else 0
            size = tensor.shape[axis]
            return _repeated(tensor.detach(), axis, size // images, image, n) if size % images == 0 else tensor

        output = structure.transform(capture.output, for_image)
        like = for_image((), capture.tensor)
        return structure.replace(output, capture.path, layout.from_grid(variants.to(like), like))

    def _hand_out(self, traced: Traced, image: int, n: int) -> Any:
        axes = _batch_axes(self.twin, self._inputs, traced)

        def hand_out(item: Returned) -> Any:
            known = axes.get(item.ordinal)

            def for_image(path: structure.Path, tensor: Tensor) -> Tensor:
                axis, size = known[path] if known is not None else (0, 1)
                if axis is None:
                    return tensor.clone() if item.pristine else tensor
                part = _repeated(tensor, axis, size, image, n)
                return part.clone() if item.pristine else part  # the network writes to it: never hand out the tape

            return structure.transform(item.output, for_image)

        return hand_out


def trace(twin: Twin, inputs: Any, layers: Sequence[Layer], *, gradients: bool = False, rerun: bool = False) -> Trace:
    """Run the network once and keep what `layers` gave out.

    inputs      a tensor (b, c, H, W), a tuple of arguments or a dict of keywords, on the network's device
    gradients   keep the graph from the first of the layers on (nothing before it, no parameter)
    rerun       keep what is needed to run the rest of the network again
    """
    with torch.inference_mode(False), torch.no_grad():
        inputs = structure.transform(inputs, lambda _, t: t.detach().clone() if t.is_inference() else t.detach())
        recording, output = _recorded(twin, inputs, layers, gradients, rerun)
        if overwritten := recording.overwritten():
            recording, output = _recorded(twin, inputs, layers, gradients, rerun, overwritten)
        traced = [_traced(twin, inputs, recording, layer) for layer in layers]
    return Trace(twin, inputs, output, traced)


def _recorded(
    twin: Twin,
    inputs: Any,
    layers: Sequence[Layer],
    gradients: bool,
    tape: bool,
    copies: set[int] | None = None,
) -> tuple[Recording, Any]:
    recording = Recording({layer.module: layer.key for layer in layers}, gradients, tape, copies or set())
    return recording, twin.run(recording, inputs)


def _traced(twin: Twin, inputs: Any, recording: Recording, layer: Layer) -> Traced:
    calls = recording.calls[layer.module]
    if not calls:
        raise LayerError(f"{layer.name!r} was never reached while {type(twin.module).__name__} ran.")
    capture = recording.captures[layer.module, min(layer.call, calls) if "#" in layer.name else calls]
    if capture.output is None:
        raise LayerError(f"{layer.name!r} asks for an earlier call than the last one: trace it alone.")
    return Traced(layer, capture, _layout(twin, inputs, layer, capture))


def _layout(twin: Twin, inputs: Any, layer: Layer, capture: Capture) -> Layout:
    event = survey(twin, inputs).event(layer.module, capture.call)
    if event and event.layout and layer.key is None:
        return event.layout
    shape = tuple(capture.tensor.shape)
    found = infer(shape, batch=_images(inputs), picture=picture_size(inputs))
    if found is None:
        raise LayerError(
            f"{layer.name!r} gives out {shape}, which has no place in the picture. "
            "Choose a layer with a grid; `camlucida layers` lists them."
        )
    return found


def _gradients(scores: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """d scores[k] / d tensor, stacked over k, for every tensor. Images of a batch do not touch each other."""
    if not scores.requires_grad:
        return [None] * len(tensors)
    classes = len(scores)
    found = [
        torch.autograd.grad(scores, tensors, _one_hot(k, scores), retain_graph=k < classes - 1, allow_unused=True)
        for k in range(classes)
    ]
    stacked: list[Tensor | None] = []
    for column in zip(*found, strict=True):
        parts = [g for g in column if g is not None]
        stacked.append(torch.stack(parts) if len(parts) == classes else None)
    return stacked


def _one_hot(k: int, scores: Tensor) -> Tensor:
    chosen = torch.zeros_like(scores)
    chosen[k] = 1
    return chosen


def _batch_axes(twin: Twin, inputs: Any, traced: Traced) -> dict[int, dict[structure.Path, tuple[int | None, int]]]:
    """Along which axis of every output on the tape the images lie: ordinal -> path -> (axis, size an image).

    Where every output begins with the batch there is nothing to find out. Otherwise (tables of positions,
    windows, tokens first) the part before the layer runs once more on twice the batch, and what doubles is it.
    """
    images = _images(inputs)
    kept = [item for item in traced.capture.tape if isinstance(item, Returned)]
    if all(t.ndim and t.shape[0] == images for item in kept for _, t in structure.tensors(item.output)):
        return {}
    shapes = tuple(tuple(t.shape) for item in kept for _, t in structure.tensors(item.output))
    key = ("axes", traced.layer.name, shapes)
    if key not in twin.notes:
        twice = structure.transform(inputs, lambda _, t: torch.cat([t, t]))
        probe = Recording({traced.layer.module: traced.layer.key}, tape=True)
        twin.run(probe, twice)
        other = probe.captures[traced.layer.module, traced.capture.call]
        twin.notes[key] = [
            {
                path: _doubled(t, u, images)
                for (path, t), (_, u) in zip(
                    structure.tensors(item.output), structure.tensors(double.output), strict=True
                )
            }
            for item, double in zip(kept, (i for i in other.tape if isinstance(i, Returned)), strict=True)
        ]
    return {item.ordinal: axes for item, axes in zip(kept, twin.notes[key], strict=True)}


def _doubled(tensor: Tensor, double: Tensor, images: int) -> tuple[int | None, int]:
    for axis, (size, larger) in enumerate(zip(tensor.shape, double.shape, strict=True)):
        if larger == 2 * size:
            return axis, size // images
    return None, 0


def _repeated(tensor: Tensor, axis: int, size: int, image: int, n: int) -> Tensor:
    """The part of one image, n times over: a view where it can be one."""
    part = tensor.narrow(axis, image * size, size)
    if size == 1:
        shape = list(part.shape)
        shape[axis] = n
        return part.expand(shape)
    return torch.cat([part] * n, axis)


def _images(inputs: Any) -> int:
    for _, tensor in structure.tensors(inputs):
        return int(tensor.shape[0])
    raise ModelError("the network's inputs hold no tensor.")


def at_least_float32(tensor: Tensor) -> Tensor:
    """Maps are computed in float32 or better, whatever the network runs in."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
