"""The `Model`: a network with its preprocessing and class names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.layer_names import layer_names
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.weights_digest import weights_digest

Output: TypeAlias = str | int | Callable[[Any], Tensor] | None
"""Which part of the network's output contains the class scores: a key, an index, a callable, or None to detect it."""


@dataclass(frozen=True)
class Model:
    """A network with everything needed to explain its predictions. Created by `load` or `wrap`.

    Attributes:
        network: The network, which is never modified by this package.
        preprocessing: Converts an image to the network input.
        labels: Class names in the order of the outputs; may be empty.
        layer: The default layer (called `target_layer` in pytorch-grad-cam), by name or index; None to choose it
            automatically. A module of the network is replaced by its name.
        output: Which part of the network's output contains the class scores.
        spec: The specification that it was loaded from, for records.
    """

    network: nn.Module
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: tuple[str, ...] = ()
    layer: str | int | None = None
    output: Output = None
    spec: str = ""

    def __post_init__(self) -> None:
        network: Any = self.network
        if not isinstance(network, nn.Module):
            raise ModelError(
                f"a model must be a torch.nn.Module, a wrapped one or a name, not {type(network).__name__}."
            )
        object.__setattr__(self, "layer", layer_names(network, self.layer))

    @property
    def name(self) -> str:
        """Return the name to display."""
        return self.spec or type(self.network).__name__

    @property
    def weights_hash(self) -> str:
        """Return the first 16 hexadecimal digits of the SHA-256 of all current parameters and buffers."""
        return weights_digest(self.network)
