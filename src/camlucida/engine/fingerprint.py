"""What a network's `forward` can read, remembered by value, so that a copy made before is known to be outdated.

The whole network is walked before every request: every attribute (also those that begin with `_`), containers and
what is in them, closures, default arguments, objects, the classes' own functions and the constants that these name.
Numbers are compared by value, parameters by where they lie (the copy shares them), all other tensors by their bytes.
Nothing of the network is kept alive for it, other than numbers, names and code.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from torch import Tensor, nn

from camlucida.engine.fingerprint_builder import ClassNode, FingerprintBuilder
from camlucida.engine.fingerprint_nodes import Walk
from camlucida.engine.tensor_snapshot import TensorSnapshot


class Fingerprint:
    """What a network's `forward` can read, now.

    Attributes:
        comparable: Whether every tensor of it can be compared later.

    Args:
        network: The network, which is not kept alive.
    """

    def __init__(self, network: nn.Module) -> None:
        builder = FingerprintBuilder()
        self._root = builder.node(network)
        self._classes = [ClassNode(cls, builder) for cls in builder.classes()]
        walk = Walk()
        self._consistent = self._walked(network, walk)
        self._parameters = _parameters(walk.parameters)
        self._extras = [builder.node(p.__dict__) if p.__dict__ else None for p in walk.parameters]
        self._tensors = TensorSnapshot(walk.tensors)
        self.comparable = self._consistent and self._tensors.comparable

    def same(self, network: nn.Module) -> bool:
        """Whether the network's `forward` would still read the same."""
        walk = Walk()
        return (
            self._walked(network, walk)
            and _parameters(walk.parameters) == self._parameters
            and self._same_extras(walk)
            and self._tensors.same(walk.tensors)
        )

    def _walked(self, network: nn.Module, walk: Walk) -> bool:
        return self._root.same(network, walk) and all(cls.same(walk) for cls in self._classes)

    def _same_extras(self, walk: Walk) -> bool:
        """Attributes that the user put on parameters."""
        for node, own in zip(self._extras, list(map(_attributes, walk.parameters)), strict=True):
            if (node is not None or own) and (node is None or not node.same(own, walk)):
                return False
        return True


_attributes = attrgetter("__dict__")
_shapes = attrgetter("shape", "dtype")


def _parameters(parameters: Sequence[Tensor]) -> tuple[list[Any], ...]:
    """Where parameters lie. The copy holds the storage, so no other tensor can come to lie there."""
    return (
        list(map(Tensor.data_ptr, parameters)),
        list(map(_shapes, parameters)),
        list(map(Tensor.stride, parameters)),
    )
