"""Quantised networks are refused, with the name of a quantised layer."""

from __future__ import annotations

import re

from torch import nn

from camlucida.errors import ModelError

QUANTIZED = re.compile(r"^torch(\.ao)?\.nn\.(intrinsic\.)?quantized\.(?!reference|_reference)")
"""Module paths of the layers of quantised networks, with static or dynamic quantisation."""


def check_quantized(network: nn.Module) -> None:
    """Refuse quantised networks, whose layers compute with integers and have no gradient.

    Raises:
        ModelError: If a layer is quantised; the message names it.
    """
    for name, module in network.named_modules():
        if QUANTIZED.match(type(module).__module__ + "."):
            raise ModelError(
                f"{type(network).__name__} is quantised: its layer {name!r} is a {type(module).__name__} of "
                f"{type(module).__module__}, which computes with integers and has no gradient. Explain the "
                "floating-point network that it was converted from."
            )
