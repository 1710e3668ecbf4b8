"""Reports of audits as the app serves them: the audit.html of the folder, or one that is written for the app."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path

from camlucida.app.failures import NotFound
from camlucida.audits.audit_result import FINDINGS_FOLDER, Audit
from camlucida.data.datasets import Dataset
from camlucida.evaluation.provenance import mismatch
from camlucida.report.audit_page import audit_report, content_policy
from camlucida.types import ProgressCallback

REPORT = "audit.html"
HEAD_BYTES = 4096
"""Bytes at the start of a report that hold its Content-Security-Policy."""


@dataclass(eq=False)
class AuditPages:
    """The audits that the app displays.

    Attributes:
        folders: Folders that `camlucida audit` wrote; they are only read.
        data: The data set of the app, from which thumbnails are read if it is that of the audit.
    """

    folders: Sequence[Path]
    data: Dataset
    _written: dict[int, Path] = field(default_factory=dict)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def audit(self, number: int) -> Audit:
        """Return an audit.

        Raises:
            NotFound: If there is no audit of this number.
        """
        if not 0 <= number < len(self.folders):
            raise NotFound(f"There is no audit {number}: the app was started with {len(self.folders)}.")
        return Audit(Path(self.folders[number]).expanduser())

    def file(self, number: int, progress: ProgressCallback | None = None) -> Path:
        """Return the HTML file of an audit's report, which is written to a temporary folder if it is missing or old.

        Args:
            number: The number of the audit, from 0.
            progress: Called with the number of images read and their total.

        Raises:
            NotFound: If there is no audit of this number.
            DataError: If the audit is not complete, or damaged.
        """
        audit = self.audit(number)
        with self._writing:
            for path in (audit.path / REPORT, self._written.get(number)):
                if path is not None and is_current(audit, path):
                    return path
            data = None if mismatch(audit.plan, None, self.data) else self.data
            path = self._temporary / str(number) / REPORT
            self._written[number] = audit_report(Audit(audit.path, None, data), path, progress=progress)
            return self._written[number]

    @cached_property
    def _temporary(self) -> Path:
        """Create a folder that is deleted with this object, or when the process ends."""
        path = tempfile.mkdtemp(prefix="camlucida-audit-")
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return Path(path)


def is_current(audit: Audit, path: Path) -> bool:
    """Return whether a report is of this version of the program, and not older than the audit and its findings.

    A report of another version or author has another script, which the policy of the app does not run.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES).decode("utf-8", "replace")
        sources = [audit.path / "run.json", *(audit.path / FINDINGS_FOLDER).glob("*.json")]
        newest = max(source.stat().st_mtime_ns for source in sources)
        return escape(content_policy()).replace("&#x27;", "&#39;") in head and path.stat().st_mtime_ns >= newest
    except OSError:
        return False
