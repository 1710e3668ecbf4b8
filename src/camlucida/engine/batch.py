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

from camlucida.engine import structure
from camlucida.engine.structure import Path
from camlucida.engine.twin import Run, Twin


@dataclass(frozen=True)
class Spread:
    """The images lie along `axis`, each `size` long, one after the other. No axis: the output holds no images."""

    axis: int | None
    size: int = 1

    def of_image(self, tensor: Tensor, image: int, n: int) -> Tensor:
        """One image's part, n times over; a view where it can be one."""
        if self.axis is None:
            return tensor
        part = tensor.narrow(self.axis, image * self.size, self.size)
        if self.size > 1:
            return torch.cat([part] * n, self.axis)
        shape = list(part.shape)
        shape[self.axis] = n
        return part.expand(shape)


Spreads: TypeAlias = dict[Path, Spread | None]
"""For every tensor of an output; None where the images are mixed up and cannot be told apart."""


@dataclass(frozen=True)
class Batch:
    """The spreads of all calls of one run, in the order in which they finished."""

    calls: tuple[tuple[nn.Module, Spreads], ...]

    def at(self, ordinal: int, module: nn.Module) -> Spreads | None:
        """Those of the call that finished as number `ordinal`; None where another module ran then."""
        if ordinal >= len(self.calls) or self.calls[ordinal][0] is not module:
            return None
        return self.calls[ordinal][1]


def images_of(inputs: Any) -> int:
    """How many images the network's inputs hold: as many as rows in the first picture, or in the first tensor."""
    found = [tensor for _, tensor in structure.tensors(inputs) if tensor.ndim]
    pictures = [tensor for tensor in found if tensor.ndim == 4]
    return int((pictures or found)[0].shape[0])


def of_image(inputs: Any, image: int, n: int = 1) -> Any:
    """The network's inputs for one image, n times over. What does not count the images is left as it is."""
    images = images_of(inputs)
    begins = Spread(0)
    return structure.transform(
        inputs, lambda _, t: begins.of_image(t, image, n) if t.ndim and t.shape[0] == images else t
    )


def batch_axes(twin: Twin, inputs: Any) -> Batch:
    """The spreads of all calls on inputs of this shape; found out once for a shape, then remembered."""
    one = of_image(inputs, 0)
    key = ("batch", tuple((tuple(t.shape), t.dtype) for _, t in structure.tensors(one)))
    if key not in twin.notes:
        twin.notes[key] = _compared(twin, one)
    found: Batch = twin.notes[key]
    return found


def _with_another(one: Any) -> Any:
    """Two images: this one and one unlike it, so that it shows when they come out in another order."""
    generator = torch.Generator().manual_seed(0)

    def pair(_: Path, tensor: Tensor) -> Tensor:
        if not tensor.ndim or tensor.shape[0] != 1:
            return tensor
        if not tensor.is_floating_point():
            return torch.cat([tensor, tensor])
        return torch.cat([tensor, 0.5 * (tensor + torch.randn(tensor.shape, generator=generator).to(tensor))])

    return structure.transform(one, pair)


@dataclass(frozen=True)
class _Output:
    """What is kept of one tensor that a call returned: enough to compare it, not the tensor.

    values    (n,) of its numbers, evenly spaced, at most `N_COMPARED`
    largest   absolute value of all of them
    """

    path: Path
    shape: tuple[int, ...]
    values: Tensor
    largest: float


N_COMPARED = 256
"""So many numbers of an output are compared: rows of several images in another order differ nearly everywhere."""


def _values(tensor: Tensor) -> Tensor:
    """Evenly spaced numbers of a tensor, in memory of their own."""
    return tensor.detach().reshape(-1)[:: tensor.numel() // N_COMPARED + 1].clone()


def _largest(tensor: Tensor) -> float:
    if not tensor.numel() or not tensor.is_floating_point():
        return 0
    low, high = torch.aminmax(tensor.detach())
    return max(-float(low), float(high))


@dataclass
class _Listening:
    """The outputs of every call, of one image."""

    outputs: list[tuple[nn.Module, list[_Output]]] = field(default_factory=list)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        every = [_Output(path, tuple(t.shape), _values(t), _largest(t)) for path, t in structure.tensors(output)]
        self.outputs.append((module, every))
        return output


@dataclass
class _Comparing:
    """A run on two images beside the outputs of the first of them; from where the paths part nothing is known."""

    single: list[tuple[nn.Module, list[_Output]]]
    calls: list[tuple[nn.Module, Spreads]] = field(default_factory=list)
    parted: bool = False

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        twos = list(structure.tensors(output))
        other, ones = self.single[len(self.calls)] if len(self.calls) < len(self.single) else (None, [])
        self.parted |= module is not other or [one.path for one in ones] != [path for path, _ in twos]
        if not self.parted:
            spreads = {one.path: _spread(one, two) for one, (_, two) in zip(ones, twos, strict=True)}
            self.calls.append((module, spreads))
        return output


def _compared(twin: Twin, one: Any) -> Batch:
    """The spreads of all calls, from a run on one image and a run on two."""
    listening = _Listening()
    _run(twin, listening, one)
    comparing = _Comparing(listening.outputs)
    _run(twin, comparing, _with_another(one))
    return Batch(tuple(comparing.calls))


def _run(twin: Twin, run: Run, inputs: Any) -> None:
    with torch.inference_mode(False), torch.no_grad():
        twin.run(run, structure.transform(inputs, lambda _, t: t.detach().clone()))


def _spread(one: _Output, two: Tensor) -> Spread | None:
    """Which axis doubled, if the first half along it is what the image gave alone."""
    if len(one.shape) != two.ndim:
        return None
    changed = [axis for axis, (a, b) in enumerate(zip(one.shape, two.shape, strict=True)) if a != b]
    if not changed:
        return Spread(None)
    axis, size = changed[0], one.shape[changed[0]]
    if len(changed) > 1 or two.shape[axis] != 2 * size:
        return None
    return Spread(axis, size) if size == 1 or _is_close(_values(two.narrow(axis, 0, size)), one) else None


def _is_close(values: Tensor, one: _Output) -> bool:
    if not values.is_floating_point():
        return torch.equal(values, one.values)
    return not bool(((values - one.values).abs() > 1e-2 * one.largest).any())
