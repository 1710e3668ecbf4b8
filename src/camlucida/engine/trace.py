"""One run of a twin: the output, what the wanted layers gave out, its gradients, and the rest of the network again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from camlucida.engine import structure
from camlucida.engine.batch import Batch, Spread, Spreads, batch_axes, images_of, of_image
from camlucida.engine.cost import WITH_GRADIENT, spend
from camlucida.engine.layers import Layer
from camlucida.engine.layout import Layout, infer
from camlucida.engine.survey import picture_size, survey
from camlucida.engine.tape import Capture, Finished, Place, Recording, Replay, Returned, Wanted, WentAstray, place
from camlucida.engine.twin import Twin
from camlucida.errors import LayerError


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

    def __init__(
        self, twin: Twin, inputs: Any, output: Any, layers: Sequence[Traced], written: Collection[Place] = ()
    ) -> None:
        self.output = output
        self.layers = tuple(layers)
        self.twin = twin
        self._inputs = inputs
        self._written = written  # places of the inputs, if the network writes to its inputs

    def gradients(self, scores: Tensor, *, keep: bool = False) -> list[list[Tensor]]:
        """The gradient of every class's score at every layer, from one graph of the rest of the network.

        scores    (k, b), computed from `output` with grad mode on
        keep      the graph, for `slopes`; else it is freed: ask once
        returns   for every layer, for every class (b, c, h, w), at least float32

        Raises `LayerError` where the scores do not depend on a layer.
        """
        tensors = [traced.capture.tensor for traced in self.layers]
        found = [_gradients(scores, k, tensors, keep) for k in range(len(scores))]
        return [
            [_placed(traced, gradient) for gradient in of_layer]
            for traced, of_layer in zip(self.layers, zip(*found, strict=True), strict=True)
        ]

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

    def curvature(self, traced: Traced, score: Callable[[Any], Tensor], direction: Tensor, image: int) -> Tensor:
        """H d at the layer's activations of one image, H the second derivative of the score: d and H d are (c, h, w).

        score    the network's output for one image in, its score (1,) out
        """
        with torch.inference_mode(False), torch.enable_grad(), _plain_attention():
            activations = traced.activations[image : image + 1].clone().requires_grad_()
            value = score(self._played(traced, activations, image, None, graph=True))
            (slope,) = torch.autograd.grad(value.sum(), activations, create_graph=True)
            if not slope.requires_grad:  # piecewise linear up to the score: flat
                return torch.zeros_like(direction)
            (curved,) = torch.autograd.grad(slope, activations, direction[None], allow_unused=True)
        return torch.zeros_like(direction) if curved is None else curved[0].detach()

    def slopes(self, traced: Traced, scores: Tensor) -> Tensor:
        """The gradients (n, b, c, h, w) of other scores (n, b) at a layer, 0 where they do not depend on it.

        scores    computed from `output` with grad mode on; `gradients` must have kept the graph
        """
        found = [_gradients(scores, k, [traced.capture.tensor], keep=True)[0] for k in range(len(scores))]
        nothing = torch.zeros_like(traced.activations)
        return torch.stack([nothing if slope is None else _placed(traced, slope) for slope in found])

    def _played(
        self, traced: Traced, variants: Tensor, image: int, after: list[Finished] | None, *, graph: bool = False
    ) -> Any:
        wanted = traced.capture
        with torch.inference_mode(False), torch.set_grad_enabled(graph):
            batch = batch_axes(self.twin, self._inputs)

            def replacement() -> Any:
                return _replacement(traced, variants, image, batch.at(wanted.ordinal, wanted.module))

            hand_out = _HandOut(batch, image, len(variants), dict.fromkeys(self._written))

            def play(replay: Replay) -> Any:
                inputs = of_image(self._inputs, image, len(variants))
                if self._written:
                    inputs = structure.transform(inputs, lambda _, t: t.clone())
                spend(len(variants) * (WITH_GRADIENT if graph else 1))
                return self.twin.run(replay, inputs)

            try:
                return play(Replay(wanted.module, wanted.call, replacement, wanted.tape, hand_out, after))
            except WentAstray:
                if after:
                    after.clear()
                return play(Replay(wanted.module, wanted.call, replacement, None, after=after))


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention in steps that can be derived twice. PyTorch's switch is the whole process's, so one at a time."""
    with _switching, sdpa_kernel(SDPBackend.MATH):
        yield


_switching = threading.Lock()


def _replacement(traced: Traced, variants: Tensor, image: int, spreads: Spreads | None) -> Any:
    """The layer's whole output (tuple, dict, tokens with their class token), n times, with the variants put in.

    All of it is new: what comes next may write to it in place.
    """
    capture, layout = traced.capture, traced.layout
    of_layer = Spread(layout.batch_axis)

    def for_image(path: structure.Path, tensor: Tensor) -> Tensor:
        spread = spreads.get(path) if spreads else None
        if tensor is not capture.tensor:
            return (spread or of_layer).of_image(tensor.detach(), image, len(variants)).clone()
        # Windows need nothing of the old output: every place is given anew.
        like = tensor if layout.kind == "windows" else of_layer.of_image(tensor.detach(), image, len(variants))
        return layout.from_grid(variants.to(like, copy=True), like)

    return structure.transform(capture.output, for_image)


@dataclass
class _HandOut:
    """Gives what calls on the tape returned for one image, n times over.

    What the network writes to is handed out as a copy, never the tape itself; and as the *same* copy where two
    calls returned the same tensor (a dropout in eval mode gives out what it was given). `written` holds these
    copies by their place. Where two only overlap, the whole network has to run.
    """

    batch: Batch
    image: int
    n: int
    written: dict[Place, Tensor | None]

    def __call__(self, item: Returned) -> Any:
        spreads = self.batch.at(item.ordinal, item.module) or {}

        def for_image(path: structure.Path, tensor: Tensor) -> Tensor:
            spread = spreads.get(path)
            if spread is None:
                raise WentAstray
            part = spread.of_image(tensor, self.image, self.n)
            return part if item.places is None else self._writable(part, item.places[path])

        return structure.transform(item.output, for_image)

    def _writable(self, part: Tensor, place: Place) -> Tensor:
        known = self.written.get(place)
        if known is None:
            if any(place[0] == other[0] for other in self.written):
                raise WentAstray
            known = self.written[place] = part.clone()
        return known


def trace(twin: Twin, inputs: Any, layers: Sequence[Layer], *, gradients: bool = False, rerun: bool = False) -> Trace:
    """Run the network once and keep what `layers` gave out.

    inputs      a tensor (b, c, H, W), a tuple of arguments or a dict of keywords, on the network's device
    gradients   keep the graph from the first of the layers on (nothing before it, no parameter)
    rerun       keep what is needed to run the rest of the network again
    """
    with torch.inference_mode(False), torch.no_grad():
        given = structure.transform(inputs, lambda _, t: t.detach().clone())
        if rerun:  # before the tape is recorded, so that the two are never in memory together
            batch_axes(twin, given)
        record = _Recorder(twin, given, gradients, rerun)
        recording, output = record(_wanted(layers))
        miscounted = {
            layer.module: recording.calls[layer.module]
            for layer in layers
            if "#" not in layer.name and recording.calls[layer.module] not in (0, layer.call)
        }
        if miscounted:  # the survey's image took another path: for these inputs another call is the last one
            recording, output = record(_wanted(layers, miscounted))
        if overwritten := recording.overwritten():
            recording, output = record(recording.wanted, overwritten)
        traced = [_traced(twin, given, recording, layer) for layer in layers]
    return Trace(twin, given, output, traced, record.written)


@dataclass
class _Recorder:
    """Runs the twin on the same inputs as often as needed; `written` are the places of those it writes to."""

    twin: Twin
    inputs: Any
    gradients: bool
    tape: bool
    written: Collection[Place] = ()

    def __call__(self, wanted: Wanted, copies: Collection[int] = ()) -> tuple[Recording, Any]:
        recording = Recording(wanted, self.gradients, self.tape, copies)
        inputs = structure.transform(self.inputs, lambda _, t: t.clone())
        before = [(t, t._version) for _, t in structure.tensors(inputs)]
        # Nothing before the first layer wants a gradient, so grad mode costs nothing there; it must be on already,
        # or a `no_grad` of the network's own that ends after the layer would switch it off again.
        with torch.set_grad_enabled(self.gradients):
            output = self.twin.run(recording, inputs)
        spend(images_of(inputs) * (WITH_GRADIENT if self.gradients else 1))
        self.written = [place(t) for t, version in before if t._version != version]
        return recording, output


def _wanted(layers: Sequence[Layer], counted: Mapping[nn.Module, int] | None = None) -> Wanted:
    """Which calls to capture; `counted` says how many there are where it is not what the survey saw."""
    wanted: dict[tuple[nn.Module, int], list[str | None]] = {}
    for layer in layers:
        keys = wanted.setdefault((layer.module, _call(layer, counted or {})), [])
        if layer.key not in keys:
            keys.append(layer.key)
    return wanted


def _call(layer: Layer, counted: Mapping[nn.Module, int]) -> int:
    """The call a layer means: the one it names, else the last."""
    return layer.call if "#" in layer.name else counted.get(layer.module, layer.call)


def _traced(twin: Twin, inputs: Any, recording: Recording, layer: Layer) -> Traced:
    calls = recording.calls[layer.module]
    capture = recording.captures.get((layer.module, _call(layer, recording.calls), layer.key))
    if capture is None:
        found = f"was called {calls} times only" if calls else "was never reached"
        raise LayerError(f"{layer.name!r} {found} while {type(twin.module).__name__} ran on these inputs.")
    return Traced(layer, capture, _layout(twin, inputs, layer, capture))


def _layout(twin: Twin, inputs: Any, layer: Layer, capture: Capture) -> Layout:
    event = survey(twin, inputs).event(layer.module, capture.call)
    if event and event.layout and layer.key is None:
        return event.layout
    shape = tuple(capture.tensor.shape)
    found = infer(shape, batch=images_of(inputs), picture=picture_size(inputs))
    if found is None:
        raise LayerError(
            f"{layer.name!r} gives out {shape}, which has no place in the picture. "
            "Choose a layer with a grid; `camlucida layers` lists them."
        )
    return found


def _gradients(scores: Tensor, k: int, tensors: Sequence[Tensor], keep: bool = False) -> Sequence[Tensor | None]:
    """d scores[k] / d tensor for every tensor. Images of a batch do not touch each other."""
    if not scores.requires_grad:
        return [None] * len(tensors)
    more = keep or k < len(scores) - 1
    return torch.autograd.grad(scores, tensors, _one_hot(k, scores), retain_graph=more, allow_unused=True)


def _placed(traced: Traced, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        raise LayerError(f"the score does not depend on {traced.layer.name!r}: it has no gradient there.")
    return at_least_float32(traced.layout.to_grid(gradient))


def _one_hot(k: int, scores: Tensor) -> Tensor:
    chosen = torch.zeros_like(scores)
    chosen[k] = 1
    return chosen


def at_least_float32(tensor: Tensor) -> Tensor:
    """Maps are computed in float32 or better, whatever the network runs in."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
