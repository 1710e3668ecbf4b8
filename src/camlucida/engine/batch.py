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
from camlucida.engine.twin import Twin


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
        twin.notes[key] = _compared(_outputs(twin, one), _outputs(twin, _with_another(one)))
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


@dataclass
class _Listening:
    outputs: list[tuple[nn.Module, list[tuple[Path, Tensor]]]] = field(default_factory=list)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        self.outputs.append((module, [(path, t.detach()) for path, t in structure.tensors(output)]))
        return output


def _outputs(twin: Twin, inputs: Any) -> list[tuple[nn.Module, list[tuple[Path, Tensor]]]]:
    run = _Listening()
    with torch.inference_mode(False), torch.no_grad():
        twin.run(run, structure.transform(inputs, lambda _, t: t.detach().clone()))
    return run.outputs


def _compared(single: list[Any], double: list[Any]) -> Batch:
    calls = []
    for (module, ones), (other, twos) in zip(single, double, strict=False):
        if module is not other or [path for path, _ in ones] != [path for path, _ in twos]:
            break  # from here on it took another path for two images: nothing is known
        spreads = {path: _spread(a, b) for (path, a), (_, b) in zip(ones, twos, strict=True)}
        calls.append((module, spreads))
    return Batch(tuple(calls))


def _spread(one: Tensor, two: Tensor) -> Spread | None:
    """Which axis doubled, if the first half along it is what the image gave alone."""
    if one.ndim != two.ndim:
        return None
    changed = [axis for axis, (a, b) in enumerate(zip(one.shape, two.shape, strict=True)) if a != b]
    if not changed:
        return Spread(None)
    axis, size = changed[0], one.shape[changed[0]]
    if len(changed) > 1 or two.shape[axis] != 2 * size:
        return None
    same = two.narrow(axis, 0, size)
    close = 1e-2 * (one.abs().max() if one.numel() and one.is_floating_point() else 0)
    mixed = size > 1 and bool(((same - one).abs() > close).any())
    return None if mixed else Spread(axis, size)
