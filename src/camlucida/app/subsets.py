"""Subsets of the images of a run: what a search finds, within what is selected; shared by all views of the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from camlucida.analysis import Mistakes
from camlucida.app.analysis_run import Run
from camlucida.app.audit_pages import AuditPages
from camlucida.app.cache import Cache
from camlucida.app.confusion_view import ConfusionView, matrix_row
from camlucida.app.failures import NotFound
from camlucida.audits.audit_result import FINDINGS_FOLDER, Audit
from camlucida.data.datasets import Dataset
from camlucida.errors import DataError
from camlucida.evaluation.provenance import mismatch
from camlucida.evaluation.store import Row

MAX_BYTES = 32 << 20
"""Maximum size of the subsets that are kept, in bytes; older ones are computed again when they are requested."""
BYTES_PER_ROW = 64
"""Estimate for one row: references to it in lists, and its index."""
MAX_SLICES = 20
"""Maximum number of slices of an audit that are listed."""


@dataclass(frozen=True, eq=False)
class Subset:
    """Some images of a run.

    Attributes:
        id: The hash of the run and the indices.
        run: The run.
        rows: Their rows.
    """

    id: str
    run: Run
    rows: Sequence[Row]

    @cached_property
    def mistakes(self) -> Mistakes:
        """The error analysis of these images."""
        return replace(self.run.mistakes, selected=self.rows)

    @cached_property
    def confusion_view(self) -> ConfusionView:
        """The confusion matrix of these images."""
        return ConfusionView(self.mistakes)


class Subsets:
    """The subsets that were requested last, by id."""

    def __init__(self) -> None:
        self._kept: Cache[Subset] = Cache(MAX_BYTES, lambda subset: BYTES_PER_ROW * (1 + len(subset.rows)))

    def put(self, run: Run, rows: Sequence[Row]) -> Subset:
        """Keep a subset of a run and return it."""
        content = json.dumps([run.id, str(run.folders), [row["index"] for row in rows]])
        subset = Subset(hashlib.blake2b(content.encode(errors="replace"), digest_size=8).hexdigest(), run, rows)
        self._kept.put(subset.id, subset)
        return subset

    def find(self, id_: str, run: Run) -> Subset:
        """Return the subset with this id.

        Raises:
            NotFound: If it is not kept any more, or is one of another run.
        """
        subset = self._kept.get(id_)
        if subset is None or subset.run is not run:
            raise NotFound("The selected images are no longer kept by the app. Select them again.")
        return subset


def rows_of_cell(rows: Sequence[Row], label: int, predicted: int) -> list[Row]:
    """Return the rows of a cell of the confusion matrix, by outputs of the model."""
    return [
        row
        for row in rows
        if row["correct"] is not None and row["predicted_index"] == predicted and matrix_row(row) == label
    ]


SLICES = f"{FINDINGS_FOLDER}/slices.json"


@dataclass(frozen=True)
class AuditSlice:
    """A slice of an audit.

    Attributes:
        name: The condition as text.
        n: Number of images.
        accuracy: Accuracy on them.
        rest_accuracy: Accuracy on the others.
        is_worse: Whether it is significantly lower.
        indices: Indices in the data set of the listed images: wrong predictions first, at most 500.
    """

    name: str
    n: int
    accuracy: float | None
    rest_accuracy: float | None
    is_worse: bool
    indices: tuple[int, ...]


class AuditSlices:
    """The slices of the audits that the app displays.

    Args:
        audits: The audits.
        data: The data set of the app.
    """

    def __init__(self, audits: AuditPages, data: Dataset) -> None:
        self._audits, self._data = audits, data
        self._read: dict[int, tuple[int, list[AuditSlice]]] = {}

    def of(self, number: int) -> list[AuditSlice]:
        """Return the slices of an audit, the worst first; none if it has not computed them or is about other images.

        Raises:
            NotFound: If there is no audit of this number.
            DataError: If the audit is not complete, or damaged.
        """
        audit = self._audits.audit(number)
        try:
            stamp = (audit.path / SLICES).stat().st_mtime_ns
        except OSError:
            return []
        if number not in self._read or self._read[number][0] != stamp:
            slices = [] if mismatch(audit.plan, None, self._data) else read_slices(audit)
            self._read[number] = stamp, slices
        return self._read[number][1]


def read_slices(audit: Audit) -> list[AuditSlice]:
    """Return the stored slices of an audit.

    Raises:
        DataError: If they cannot be read.
    """
    try:
        record = json.loads((audit.path / SLICES).read_text(encoding="utf-8"))
        indices = audit.table["index"].to_pylist()
        return [
            AuditSlice(
                each["name"],
                each["n"],
                each["accuracy"],
                each["rest_accuracy"],
                each["is_worse"],
                tuple(indices[row] for row in each["rows"]),
            )
            for each in record["slices"][:MAX_SLICES]
        ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"the slices of {audit.path.name} cannot be read ({error!r}). Run the audit again.") from error
