"""Networks whose layers cannot be accessed, and what can be computed with them nevertheless.

A function, an ONNX Runtime session and a server return scores and no gradient; a TorchScript network and an exported
program also have input gradients. The engine and the methods ask for `has_layers` and `has_gradients`, and nothing
else.
"""

from __future__ import annotations

from typing import Any, Self

from torch import nn


class OpaqueNetwork(nn.Module):
    """A network whose layers cannot be accessed: images `(b, c, H, W)` to class scores, in eval mode.

    Attributes:
        reason: What the network is, as a noun phrase for messages: "a function", "an ONNX Runtime session".
        title: The name to display.
        has_gradients: Whether the scores can be differentiated with respect to the images.
        is_fixed: Whether the same images always have the same scores, so that what was found out about the network
            may be kept between requests.
        image_size: (height, width) of the images that it takes; None for any.
        n_channels: Number of channels of these images.
        takes_pixels: Whether it takes pixels of 8 bits, and normalises them itself. The preprocessing then only
            subtracts a mean colour, which the network adds again, so that 0 is a neutral colour to cover pixels with.
        labels: Class names that are stored with it.
    """

    reason: str = "a black box"
    title: str = ""
    has_gradients: bool = False
    is_fixed: bool = True
    image_size: tuple[int, int] | None = None
    n_channels: int = 3
    takes_pixels: bool = False
    labels: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return hexadecimal digits that identify what the network computes now; never the same where it may change."""
        raise NotImplementedError

    def shared_copy(self) -> Self:
        """Return another module that computes with the same function, session or weights."""
        shared = type(self).__new__(type(self))
        shared.__dict__.update({name: value for name, value in vars(self).items() if name != "forward"})
        return shared

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return `shared_copy`: sessions and connections cannot be copied."""
        shared = memo[id(self)] = self.shared_copy()
        return shared


def has_layers(network: nn.Module) -> bool:
    """Return whether the layers of a network can be accessed."""
    return not isinstance(network, OpaqueNetwork)


def has_gradients(network: nn.Module) -> bool:
    """Return whether the scores of a network can be differentiated with respect to its inputs."""
    return not isinstance(network, OpaqueNetwork) or network.has_gradients


def described(network: nn.Module) -> str:
    """Return what a network is, as a noun phrase, such as "an ONNX Runtime session"."""
    return network.reason if isinstance(network, OpaqueNetwork) else f"a {type(network).__name__}"
