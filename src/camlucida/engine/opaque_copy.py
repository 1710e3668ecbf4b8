"""Copies of networks whose layers cannot be accessed: there is nothing to prepare, to compare or to restore."""

from __future__ import annotations

import weakref

from camlucida.engine.network_copy import NetworkCopy, as_called_in_inference
from camlucida.opaque_networks import OpaqueNetwork


class OpaqueCopy(NetworkCopy):
    """A copy that calls the same function, session, server or scripted network.

    Args:
        network: The network, which is not modified.
    """

    def __init__(self, network: OpaqueNetwork) -> None:
        self._source = weakref.ref(network)
        self.module = network.shared_copy()
        self.names = {self.module: ""}
        self._modules = {"": self.module}
        self._watch(self.module)
        self.module.forward = as_called_in_inference(self.module.forward)
        self.ends_in_activation = False
        self.lasting = network.is_fixed
        self.notes = {}

    @property
    def fresh(self) -> bool:
        """Return whether the network still exists."""
        return self._source() is not None

    def restore_if_changed(self) -> None:
        """There is no state that could be restored."""
