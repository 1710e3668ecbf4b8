"""Batch axes: along which axis of every call's output the images of a batch are counted.

Most outputs begin with the batch axis. Tables of positions hold no images at all, tokens may come first, and window
attention returns several rows per image. Inferring the axis from a shape fails when a batch of one meets a table of
shape (1, t, c), so the network runs on one image and on two: the axis whose size doubles is the batch axis.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.image_axes import find_image
from camlucida.engine.named_inputs import held_values
from camlucida.engine.nested import Path
from camlucida.engine.network_copy import CallObserver, NetworkCopy
from camlucida.errors import LayerError


@dataclass(frozen=True)
class BatchAxis:
    """The axis along which the images of one tensor lie.

    Attributes:
        axis: The batch axis; None for a tensor that holds no images.
        size: Number of entries per image along `axis`, which follow each other.
    """

    axis: int | None
    size: int = 1

    def select(self, tensor: Tensor, image: int, n: int) -> Tensor:
        """Return the part of one image, repeated.

        Args:
            tensor: A tensor whose images lie along `axis`.
            image: Index of the image.
            n: Number of repetitions.

        Returns:
            The part, n times along `axis`: a view where possible. `tensor` itself where there is no batch axis.
        """
        if self.axis is None:
            return tensor
        part = tensor.narrow(self.axis, image * self.size, self.size)
        if self.size > 1:
            return torch.cat([part] * n, self.axis)
        shape = list(part.shape)
        shape[self.axis] = n
        return part.expand(shape)


BatchAxes: TypeAlias = dict[Path, BatchAxis | None]
"""The batch axis of every tensor of an output; None where the images are mixed and cannot be separated."""


@dataclass(frozen=True)
class CallAxes:
    """The batch axes of all calls of one run, in the order in which the calls finished."""

    calls: tuple[tuple[nn.Module, BatchAxes], ...]

    def axes_of(self, ordinal: int, module: nn.Module) -> BatchAxes | None:
        """Return the axes of the call that finished at `ordinal`, or None where another module ran then."""
        if ordinal >= len(self.calls) or self.calls[ordinal][0] is not module:
            return None
        return self.calls[ordinal][1]


def n_images(inputs: Any) -> int:
    """Return the number of images in the network's inputs: the rows of the images, or else of the first tensor."""
    with suppress(LayerError):
        return len(find_image(inputs)[1])
    return next(len(tensor) for _, tensor in nested.tensors(inputs) if tensor.ndim)


def select_image(inputs: Any, image: int, n: int = 1) -> Any:
    """Return the network's inputs for one image, repeated.

    Args:
        inputs: The network's inputs: a tensor, or a nested structure of tensors.
        image: Index of the image.
        n: Number of repetitions.

    Returns:
        The same structure. Tensors whose first axis does not have the batch size are kept as they are.
    """
    batch_size = n_images(inputs)
    first_axis = BatchAxis(0)
    return nested.transform(
        inputs, lambda _, t: first_axis.select(t, image, n) if t.ndim and t.shape[0] == batch_size else t
    )


def batch_axes(copy: NetworkCopy, inputs: Any) -> CallAxes:
    """Return the batch axes of all calls on inputs of this shape; computed once per shape, then cached."""
    image = select_image(inputs, 0)
    key = ("batch", held_values(image), tuple((tuple(t.shape), t.dtype) for _, t in nested.tensors(image)))
    if key not in copy.notes:
        copy.notes[key] = _find_axes(copy, image)
    axes: CallAxes = copy.notes[key]
    return axes


def _pair_with_other(image: Any) -> Any:
    """Return a batch of the image and a different one, so that a changed order of images is detected."""
    generator = torch.Generator().manual_seed(0)

    def pair(_: Path, tensor: Tensor) -> Tensor:
        if not tensor.ndim or tensor.shape[0] != 1:
            return tensor
        if not tensor.is_floating_point():
            return torch.cat([tensor, tensor])
        return torch.cat(
            [tensor, 0.5 * (tensor + torch.randn(tensor.shape, generator=generator, dtype=torch.float32).to(tensor))]
        )

    return nested.transform(image, pair)


@dataclass(frozen=True)
class _OutputSummary:
    """What is kept of one tensor that a call returned: enough to compare it, without keeping the tensor.

    Attributes:
        path: Path of the tensor in the output.
        shape: Its shape.
        values: At most `N_COMPARED` of its values, evenly spaced, (n,).
        max_abs: Largest absolute value of the whole tensor.
    """

    path: Path
    shape: tuple[int, ...]
    values: Tensor
    max_abs: float


N_COMPARED = 256
"""Number of values compared per output: rows of several images in another order differ nearly everywhere."""


def _sample_values(tensor: Tensor) -> Tensor:
    """Return evenly spaced values of a tensor, as a copy."""
    return tensor.detach().reshape(-1)[:: tensor.numel() // N_COMPARED + 1].clone()


def _max_abs(tensor: Tensor) -> float:
    """Return the largest absolute value of a tensor, 0 where it is empty or not floating point."""
    if not tensor.numel() or not tensor.is_floating_point():
        return 0
    low, high = torch.aminmax(tensor.detach())
    return max(-float(low), float(high))


@dataclass
class _OutputRecorder:
    """A call observer that summarises the outputs of every call, for one image."""

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
    """A call observer that compares a run on two images with the summaries of the first of them.

    From the first call at which the two runs differ in their order of calls, nothing is known.
    """

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
    """Compute the batch axes of all calls from a run on one image and a run on two."""
    recorder = _OutputRecorder()
    _run(copy, recorder, image)
    finder = _AxisFinder(recorder.outputs)
    _run(copy, finder, _pair_with_other(image))
    return CallAxes(tuple(finder.calls))


def _run(copy: NetworkCopy, observer: CallObserver, inputs: Any) -> None:
    with torch.inference_mode(False), torch.no_grad():
        copy.run(observer, nested.transform(inputs, lambda _, t: t.detach().clone()))


def _axis_of(single: _OutputSummary, pair: Tensor) -> BatchAxis | None:
    """Return the axis that doubled, if the first half along it equals the output for the single image."""
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
    """Return whether sampled values equal those of the single image, up to 1 % of its largest value."""
    if not values.is_floating_point():
        return torch.equal(values, single.values)
    return not bool(((values - single.values).abs() > 1e-2 * single.max_abs).any())
