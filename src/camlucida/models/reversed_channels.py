"""Networks trained on BGR images, changed to take RGB: the channels of the first convolution are reversed."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from camlucida.errors import ModelError


def reverse_input_channels(network: nn.Module, size: tuple[int, int], name: str) -> None:
    """Reverse the input channels of a network's first convolution, and check that this reverses those of the images.

    Args:
        network: A network that was just loaded, in eval mode. It is modified.
        size: (height, width) of its input.
        name: Its specification, for messages.

    Raises:
        ModelError: If the outputs then differ from those for reversed images.
    """
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    convolution = next((m for m in network.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[1] == 3), None)
    with torch.no_grad():
        wanted = _first_tensor(network(images.flip(1)))
        if convolution is not None:
            convolution.weight.copy_(convolution.weight.flip(1))
        given = _first_tensor(network(images))
    if convolution is None or not torch.allclose(given, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max())):
        raise ModelError(
            f"{name} was trained on BGR images, and its first convolution was not found. Pass wrap() a module that "
            "reverses the channels: network(images.flip(1))."
        )


def _first_tensor(output: Any) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output
    return next(value for value in output.values() if isinstance(value, torch.Tensor))
