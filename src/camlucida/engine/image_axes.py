"""Image axes: what the axes of a network's input are: an image, a volume, or the frames of a video.

An input (b, c, H, W) is a batch of images. An input with five axes is a volume (b, c, D, H, W) for a network of 3-D
convolutions, or a sequence of frames, (b, t, c, H, W) or (b, c, t, H, W), for a network that processes every frame by
itself. Its shape does not tell which: three frames of three colours fit all of them. So the network runs on noise, and
on the same noise with its last slice along one axis replaced: what changes in the input of the first convolution that
reads the image tells which axis is counted in frames or slices.

Everything outside this module receives images as (b, c, *grid): (b, c, t, H, W) for both orders of frames.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.engine import nested
from camlucida.engine.named_inputs import NamedInputs, held_values
from camlucida.engine.network_copy import NetworkCopy
from camlucida.errors import LayerError

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
MAX_CHANGE = 1e-5
"""Largest change of a slice, relative to the largest change of all, that counts as rounding."""


@dataclass(frozen=True)
class ImageAxes:
    """The axes of the images among a network's inputs.

    Attributes:
        channels: The axis of the channels: 1, or 2 for frames (b, t, c, H, W).
        frames: Whether the network processes the slices along the first axis of the grid as images of one batch.
        one_by_one: Whether it processes them in a loop, one after the other.
    """

    channels: int = 1
    frames: bool = False
    one_by_one: bool = False

    def to_grid(self, images: Tensor) -> Tensor:
        """Return images with leading axes and the axes of the network's input as (..., b, c, *grid)."""
        return images.movedim(-3, -4) if self.channels == 2 else images

    def from_grid(self, images: Tensor) -> Tensor:
        """Return images (..., b, c, *grid) with the axes of the network's input, contiguous in memory."""
        return images.movedim(-3, -4).contiguous() if self.channels == 2 else images

    def grid(self, image: Tensor) -> tuple[int, ...]:
        """Return the size of the images: (H, W), or (D, H, W) for volumes and frames."""
        return tuple(int(side) for side in self.to_grid(image).shape[2:])


def is_image(tensor: Tensor) -> bool:
    """Return whether a tensor has the axes of a batch of images, volumes or frames."""
    return tensor.ndim in (4, 5)


def find_image(inputs: Any) -> tuple[nested.Path, Tensor]:
    """Return the path and the tensor of the images among a network's inputs.

    These are the named ones, else the first with four axes, else the first with five.

    Raises:
        LayerError: If the inputs hold no batch of images.
    """
    if isinstance(inputs, NamedInputs):
        return (inputs.image,), inputs[inputs.image]
    tensors = list(nested.tensors(inputs))
    for n_axes in (4, 5):
        for path, tensor in tensors:
            if tensor.ndim == n_axes:
                return path, tensor
    shapes = ", ".join(str(tuple(t.shape)) for _, t in tensors) or type(inputs).__name__
    raise LayerError(
        "the network's input must hold a batch of images (b, c, h, w), volumes (b, c, d, h, w) or frames "
        f"(b, t, c, h, w), but it is {shapes}."
    )


def image_size(copy: NetworkCopy, inputs: Any) -> tuple[int, ...]:
    """Return the size of the images in the network's inputs: (height, width), or (depth, height, width).

    Raises:
        LayerError: If the inputs hold no batch of images.
    """
    return image_axes(copy, inputs).grid(find_image(inputs)[1])


def image_axes(copy: NetworkCopy, inputs: Any) -> ImageAxes:
    """Return the axes of the images; measured once per shape for inputs with five axes.

    Args:
        copy: The network copy.
        inputs: Network inputs; the first image is run.

    Raises:
        LayerError: If the inputs hold no batch of images.
    """
    _, image = find_image(inputs)
    if image.ndim == 4:
        return ImageAxes()
    key = "image axes", held_values(inputs), tuple(tuple(tensor.shape[1:]) for _, tensor in nested.tensors(inputs))
    if key not in copy.notes:
        copy.notes[key] = _measure(copy, inputs)
    axes: ImageAxes = copy.notes[key]
    return axes


def _measure(copy: NetworkCopy, inputs: Any) -> ImageAxes:
    path, image = find_image(inputs)
    batch_size = len(image)
    generator = torch.Generator().manual_seed(0)
    noise, other = (
        torch.randn((1, *image.shape[1:]), generator=generator, dtype=torch.float32).to(image) for _ in range(2)
    )

    def input_of(convolution: int, images: Tensor) -> Tensor | None:
        def of_one(at: nested.Path, tensor: Tensor) -> Tensor:
            if at == path:
                return images.clone()
            return (tensor[:1] if tensor.ndim and len(tensor) == batch_size else tensor).clone()

        return _input_of_convolution(copy, nested.transform(inputs, of_one), convolution)

    def changed(axis: int) -> list[bool] | None:
        """Return which slices of the convolution's input change with the last slice along an axis of the image."""
        images = noise.clone()
        images.narrow(axis, images.shape[axis] - 1, 1).copy_(other.narrow(axis, images.shape[axis] - 1, 1))
        after = input_of(first, images)
        if before is None or after is None or after.shape != before.shape:
            return None
        difference = (after - before).double().abs()
        slices = difference.flatten(1).amax(1) if before.ndim == 4 else difference.amax((0, 1, 3, 4))
        return (slices > MAX_CHANGE * slices.max()).tolist()

    first, before = 0, input_of(0, noise)
    while before is not None and _are_equal(before, input_of(first, other)):  # it reads another input of the network
        first, before = first + 1, input_of(first + 1, noise)
    if before is None:  # no convolution: the grid of every layer is measured by `geometry`
        return ImageAxes()
    frames = before.ndim == 4
    results = {axis: changed(axis) for axis in (1, 2)}
    for axis, channels in ((1, 2), (2, 1)):
        changes, n_slices = results[axis] or [], image.shape[axis]
        if n_slices > 1 and sum(changes) == 1 and len(changes) % n_slices == 0:  # beside the slices of other inputs
            return ImageAxes(channels, frames)
        if frames and len(before) == 1 and results[axis] == [False]:  # another call reads the last frame
            return ImageAxes(channels, one_by_one=True)
    if frames and len(before) == 1:
        return ImageAxes(2 if image.shape[1] == 1 else 1, frames=1 in image.shape[1:3])
    return ImageAxes()


def _are_equal(first: Tensor, second: Tensor | None) -> bool:
    return second is not None and first.shape == second.shape and torch.equal(first, second)


def _input_of_convolution(copy: NetworkCopy, inputs: Any, n_before: int) -> Tensor | None:
    """Return the input of the convolution that the network runs after `n_before` others; None if it runs none."""
    observer = _ConvolutionInput(n_before)
    with torch.inference_mode(False), torch.no_grad(), suppress(_FoundConvolution):
        copy.run(observer, inputs)
    return observer.found


class _FoundConvolution(Exception):
    """Ends a run at a convolution."""


@dataclass
class _ConvolutionInput:
    """A call observer that ends the run at a convolution, and keeps its input."""

    n_before: int
    found: Tensor | None = field(default=None)

    def call(self, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self.found is None and isinstance(module, CONVOLUTIONS) and args and isinstance(args[0], Tensor):
            if not self.n_before:
                self.found = args[0].detach().clone()
                raise _FoundConvolution
            self.n_before -= 1
        return forward(*args, **kwargs)
