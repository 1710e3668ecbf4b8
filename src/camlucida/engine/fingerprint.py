"""A fingerprint of everything that a network's `forward` can read, which detects that an earlier copy is outdated.

The whole network is traversed before every request: every attribute (including private ones), containers and their
contents, closures, default arguments, objects, the functions of the classes and the constants that these refer to.
Numbers are compared by value, parameters by their memory address (the copy shares them), all other tensors by their
bytes. The fingerprint keeps numbers, names and code only, so it does not keep the network alive.
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
    """A fingerprint of everything that a network's `forward` can read.

    Args:
        network: The network, which is not kept alive.

    Attributes:
        comparable: Whether every tensor of the network can be compared later.
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
        """Return whether the network's `forward` would still read the same values."""
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
        """Return whether the attributes that the user set on parameters are unchanged."""
        for node, own in zip(self._extras, list(map(_attributes, walk.parameters)), strict=True):
            if (node is not None or own) and (node is None or not node.same(own, walk)):
                return False
        return True


_attributes = attrgetter("__dict__")
_shapes = attrgetter("shape", "dtype")


def _parameters(parameters: Sequence[Tensor]) -> tuple[list[Any], ...]:
    """Return the memory addresses, shapes, types and strides of parameters.

    The copy holds their storage, so no other tensor can be allocated at these addresses.
    """
    return (
        list(map(Tensor.data_ptr, parameters)),
        list(map(_shapes, parameters)),
        list(map(Tensor.stride, parameters)),
    )
