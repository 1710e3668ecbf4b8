"""Where the images are: along which axis of every call's output a batch is counted, and one image's part of it.

Most outputs begin with the batch. Tables of positions hold no images at all, tokens may come first, window
attention gives several rows an image. Guessing from a shape goes wrong when a batch of one meets a table of
shape (1, t, c), so the network runs on one image and on two: what doubles is the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.nested import Path
from camlucida.engine.network_copy import CallObserver, NetworkCopy


@dataclass(frozen=True)
class BatchAxis:
    """The images lie along `axis`, each `size` long, one after the other. No axis: the output holds no images."""

    axis: int | None
    size: int = 1

    def select(self, tensor: Tensor, image: int, n: int) -> Tensor:
        """One image's part, n times over; a view where it can be one."""
        if self.axis is None:
            return tensor
        part = tensor.narrow(self.axis, image * self.size, self.size)
        if self.size > 1:
            return torch.cat([part] * n, self.axis)
        shape = list(part.shape)
        shape[self.axis] = n
        return part.expand(shape)


BatchAxes: TypeAlias = dict[Path, BatchAxis | None]
"""For every tensor of an output; None where the images are mixed up and cannot be told apart."""


@dataclass(frozen=True)
class CallAxes:
    """The spreads of all calls of one run, in the order in which they finished."""

    calls: tuple[tuple[nn.Module, BatchAxes], ...]

    def axes_of(self, ordinal: int, module: nn.Module) -> BatchAxes | None:
        """Those of the call that finished as number `ordinal`; None where another module ran then."""
        if ordinal >= len(self.calls) or self.calls[ordinal][0] is not module:
            return None
        return self.calls[ordinal][1]


def n_images(inputs: Any) -> int:
    """How many images the network's inputs hold: as many as rows in the first picture, or in the first tensor."""
    with_batch = [tensor for _, tensor in nested.tensors(inputs) if tensor.ndim]
    images = [tensor for tensor in with_batch if tensor.ndim == 4]
    return int((images or with_batch)[0].shape[0])


def select_image(inputs: Any, image: int, n: int = 1) -> Any:
    """The network's inputs for one image, n times over. What does not count the images is left as it is."""
    batch_size = n_images(inputs)
    first_axis = BatchAxis(0)
    return nested.transform(
        inputs, lambda _, t: first_axis.select(t, image, n) if t.ndim and t.shape[0] == batch_size else t
    )


def batch_axes(copy: NetworkCopy, inputs: Any) -> CallAxes:
    """The spreads of all calls on inputs of this shape; found out once for a shape, then remembered."""
    image = select_image(inputs, 0)
    key = ("batch", tuple((tuple(t.shape), t.dtype) for _, t in nested.tensors(image)))
    if key not in copy.notes:
        copy.notes[key] = _find_axes(copy, image)
    axes: CallAxes = copy.notes[key]
    return axes


def _pair_with_other(image: Any) -> Any:
    """Two images: this one and one unlike it, so that it shows when they come out in another order."""
    generator = torch.Generator().manual_seed(0)

    def pair(_: Path, tensor: Tensor) -> Tensor:
        if not tensor.ndim or tensor.shape[0] != 1:
            return tensor
        if not tensor.is_floating_point():
            return torch.cat([tensor, tensor])
        return torch.cat([tensor, 0.5 * (tensor + torch.randn(tensor.shape, generator=generator).to(tensor))])

    return nested.transform(image, pair)


@dataclass(frozen=True)
class _OutputSummary:
    """What is kept of one tensor that a call returned: enough to compare it, not the tensor.

    values    (n,) of its numbers, evenly spaced, at most `N_COMPARED`
    largest   absolute value of all of them
    """

    path: Path
    shape: tuple[int, ...]
    values: Tensor
    max_abs: float


N_COMPARED = 256
"""So many numbers of an output are compared: rows of several images in another order differ nearly everywhere."""


def _sample_values(tensor: Tensor) -> Tensor:
    """Evenly spaced numbers of a tensor, in memory of their own."""
    return tensor.detach().reshape(-1)[:: tensor.numel() // N_COMPARED + 1].clone()


def _max_abs(tensor: Tensor) -> float:
    if not tensor.numel() or not tensor.is_floating_point():
        return 0
    low, high = torch.aminmax(tensor.detach())
    return max(-float(low), float(high))


@dataclass
class _OutputRecorder:
    """The outputs of every call, of one image."""

    outputs: list[tuple[nn.Module, list[_OutputSummary]]] = field(default_factory=list)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        summaries = [
            _OutputSummary(path, tuple(t.shape), _sample_values(t), _max_abs(t)) for path, t in nested.tensors(output)
        ]
        self.outputs.append((module, summaries))
        return output


@dataclass
class _AxisFinder:
    """A run on two images beside the outputs of the first of them; from where the paths part nothing is known."""

    single: list[tuple[nn.Module, list[_OutputSummary]]]
    calls: list[tuple[nn.Module, BatchAxes]] = field(default_factory=list)
    diverged: bool = False

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        pair_outputs = list(nested.tensors(output))
        expected_module, summaries = self.single[len(self.calls)] if len(self.calls) < len(self.single) else (None, [])
        self.diverged |= module is not expected_module or [one.path for one in summaries] != [
            path for path, _ in pair_outputs
        ]
        if not self.diverged:
            axes = {one.path: _axis_of(one, two) for one, (_, two) in zip(summaries, pair_outputs, strict=True)}
            self.calls.append((module, axes))
        return output


def _find_axes(copy: NetworkCopy, image: Any) -> CallAxes:
    """The spreads of all calls, from a run on one image and a run on two."""
    recorder = _OutputRecorder()
    _run(copy, recorder, image)
    finder = _AxisFinder(recorder.outputs)
    _run(copy, finder, _pair_with_other(image))
    return CallAxes(tuple(finder.calls))


def _run(copy: NetworkCopy, observer: CallObserver, inputs: Any) -> None:
    with torch.inference_mode(False), torch.no_grad():
        copy.run(observer, nested.transform(inputs, lambda _, t: t.detach().clone()))


def _axis_of(single: _OutputSummary, pair: Tensor) -> BatchAxis | None:
    """Which axis doubled, if the first half along it is what the image gave alone."""
    if len(single.shape) != pair.ndim:
        return None
    changed = [axis for axis, (a, b) in enumerate(zip(single.shape, pair.shape, strict=True)) if a != b]
    if not changed:
        return BatchAxis(None)
    axis, size = changed[0], single.shape[changed[0]]
    if len(changed) > 1 or pair.shape[axis] != 2 * size:
        return None
    return BatchAxis(axis, size) if size == 1 or _is_close(_sample_values(pair.narrow(axis, 0, size)), single) else None


def _is_close(values: Tensor, single: _OutputSummary) -> bool:
    if not values.is_floating_point():
        return torch.equal(values, single.values)
    return not bool(((values - single.values).abs() > 1e-2 * single.max_abs).any())
