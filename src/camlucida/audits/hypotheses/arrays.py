"""Columns and arrays of an audit, each read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida.audits.audit_result import Audit
from camlucida.audits.plan import CHANNELS, ExplainedClass


@dataclass(frozen=True, eq=False)
class AuditArrays:
    """Columns and arrays of an audit, each read once.

    Attributes:
        audit: The audit.
    """

    audit: Audit
    _kept: dict[tuple[str, str], NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def has_channels(self) -> bool:
        """Whether the audit has channel relevances: not if its methods map the network input only."""
        return CHANNELS in self.audit.store.array_names

    def column(self, name: str) -> NDArray[Any]:
        """Return a column `(n,)`, as `Audit.column`."""
        return self._read("column", name, lambda: self.audit.column(name))

    def maps(self, explained: ExplainedClass) -> NDArray[np.float16]:
        """Return the maps `(n, h, w)` of the first method."""
        return self._read("maps", explained, lambda: self.audit.maps(explained=explained))

    def channels(self, explained: ExplainedClass) -> NDArray[np.float16]:
        """Return the relevances `(n, c)` of the layer's channels."""
        return self._read("channels", explained, lambda: self.audit.channel_relevance(explained))

    def _read(self, what: str, name: str, read: Any) -> NDArray[Any]:
        key = what, name
        if key not in self._kept:
            self._kept[key] = read()
        return self._kept[key]
