"""Inputs of a network that takes several arguments, with the name of the one that is the explained image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from camlucida.engine import nested


class NamedInputs(dict[str, Any]):
    """Keyword arguments of a network, one of which is the image that is explained; the others are held as they are.

    Args:
        arguments: The arguments by name. The image is a tensor (b, c, H, W), (b, c, D, H, W) or frames.
        image: The name of the image.

    Attributes:
        image: The name of the image.
    """

    image: str

    def __init__(self, arguments: Mapping[str, Any], image: str) -> None:
        super().__init__(arguments)
        self.image = image

    @property
    def other_tensors(self) -> list[Tensor]:
        """Return the tensors of all arguments but the image."""
        return [tensor for path, tensor in nested.tensors(self) if path != (self.image,)]


def named_image(inputs: Any) -> Tensor | None:
    """Return the image if it is certain which tensor it is: the only argument, or the named one. Else None."""
    if isinstance(inputs, Tensor):
        return inputs
    image: Tensor | None = inputs[inputs.image] if isinstance(inputs, NamedInputs) else None
    return image


def held_values(inputs: Any) -> tuple[str, ...]:
    """Return what distinguishes runs on named inputs whose tensors have the same shapes: the image, names and flags."""
    if not isinstance(inputs, NamedInputs):
        return ()
    flags = (value for value in inputs.values() if value is None or isinstance(value, bool | int | float | str))
    return (inputs.image, *inputs, *map(repr, flags))


def with_images(inputs: Any, images: Tensor) -> Any:
    """Return the inputs with other images, and the other tensors repeated for them.

    Args:
        inputs: A tensor of b images, or named inputs. A tensor whose first axis has another size than b is kept as it
            is, since it does not belong to single images.
        images: Images (n b, ...) as the network takes them, n variants of the b images, one variant after the other.

    Returns:
        Inputs of the same structure, whose tensors the network may modify.
    """
    if not isinstance(inputs, NamedInputs):
        return images
    path, n_images = (inputs.image,), len(inputs[inputs.image])
    n = len(images) // n_images

    def changed(at: nested.Path, tensor: Tensor) -> Tensor:
        if at == path:
            return images
        is_repeated = tensor.ndim and tensor.shape[0] == n_images
        return tensor.repeat(n, *[1] * (tensor.ndim - 1)) if is_repeated else tensor.clone()

    return nested.transform(inputs, changed)


def call_network(network: Callable[..., Any], inputs: Any) -> Any:
    """Call a network on a tensor, a tuple of positional arguments or a dict of keyword arguments."""
    if isinstance(inputs, tuple):
        return network(*inputs)
    return network(**inputs) if isinstance(inputs, dict) else network(inputs)
