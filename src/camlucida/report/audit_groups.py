"""Named groups of images of an audit's report, by which its page filters; and numbers of findings read from JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from camlucida.report.audit_columns import PageRows


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of images, by name in the address of the page.

    Attributes:
        page: The rows of the page.
        entries: For each group its title, the indices of its images in the page, and their number in the audit.
    """

    page: PageRows
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, key: str, title: str, positions: Sequence[int], n: int | None = None) -> str:
        """Add a group.

        Args:
            key: Its name in the address of the page.
            title: Its name in the page.
            positions: Positions of its rows in the audit.
            n: Number of its images in the audit, if `positions` are not all of them.

        Returns:
            The key.
        """
        self.entries[key] = {
            "title": title,
            "rows": self.page.page_indices([int(position) for position in positions]),
            "n": len(positions) if n is None else n,
        }
        return key


def number(value: Any) -> float:
    """Return a number of a finding; NaN for null, by which JSON represents it."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def texts(record: Mapping[str, Any]) -> list[str]:
    """Return the sentences of a finding."""
    return [str(sentence) for sentence in record.get("sentences") or []]
