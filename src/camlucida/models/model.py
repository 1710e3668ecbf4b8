"""A model: a network, how it wants its pictures, and what its classes are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.weights_digest import weights_digest

Output: TypeAlias = str | int | Callable[[Any], Tensor] | None
"""Which part of a network's output the class scores are: a key, an index, a callable, or None to find out."""


@dataclass(frozen=True)
class Model:
    """A network with all that is needed to explain what it says about a picture. Made by `load` or `wrap`.

    network         never changed by anything in this package
    preprocessing   from a picture to the network's input
    labels          class names, in the order of the outputs; may be empty
    layer           the default layer, None to choose it by looking at the network
    output          which part of the network's output the class scores are
    spec            what it was loaded as, for the records
    """

    network: nn.Module
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: tuple[str, ...] = ()
    layer: str | int | None = None
    output: Output = None
    spec: str = ""

    def __post_init__(self) -> None:
        layer: Any = self.network
        if not isinstance(layer, nn.Module):
            raise ModelError(f"a model is a torch.nn.Module, a wrapped one or a name, not {type(layer).__name__}.")

    @property
    def name(self) -> str:
        """What to call it in a picture."""
        return self.spec or type(self.network).__name__

    @property
    def weights_hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all parameters and buffers as they are now."""
        return weights_digest(self.network)
