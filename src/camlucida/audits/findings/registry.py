"""The list of findings, which are derived from the rows and maps of an audit, and stored in its folder.

A finding is a function `find_NAME(audit, *, seed, progress)`, whose result has `.record()`, a dict that JSON can
represent. Its module is imported when it is computed.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import camlucida
from camlucida.audits.audit_result import Audit
from camlucida.audits.json_values import json_values
from camlucida.audits.store import RESULT
from camlucida.errors import CamlucidaError, DataError, nearest
from camlucida.types import ProgressCallback

COMPUTED_FROM = "computed_from"
"""Key of a finding's file: the rows, the seed and the version from which it was computed."""


@dataclass(frozen=True)
class Finding:
    """An entry of the list.

    Attributes:
        name: Name of the finding and of its file.
        module: Module of its function, below `camlucida.audits`.
        needs_model: Whether it runs the model on images, and not only on the stored rows and maps.
        title: What is done, for progress.
        not_for_targets: Why it is not computed where rows are the targets of images; empty if it is.
    """

    name: str
    module: str
    needs_model: bool
    title: str
    not_for_targets: str = ""

    def __call__(self, audit: Audit, seed: int, progress: ProgressCallback | None) -> dict[str, Any]:
        """Compute the finding and return its record."""
        module = importlib.import_module(f"camlucida.audits.{self.module}")
        result = getattr(module, f"find_{self.name}")(audit, seed=seed, progress=progress)
        record: dict[str, Any] = json_values(result.record())
        return record


FINDINGS = {
    finding.name: finding
    for finding in (
        Finding("hypotheses", "hypotheses.find", True, "searching spurious cues"),
        Finding("slices", "findings.slices", False, "comparing slices"),
        Finding("differences", "findings.differences", False, "comparing correct and wrong predictions"),
        Finding(
            "label_errors",
            "findings.label_errors",
            False,
            "searching label errors",
            "a box that is missed, false or of another class is a row of its own; query them by outcome",
        ),
        Finding("duplicates", "findings.duplicates", False, "searching duplicates"),
        Finding("record", "record.audit_record", True, "writing the record"),
    )
}
"""The findings by name, in the order in which they are computed: later ones may read earlier ones."""


@dataclass(frozen=True)
class FindingsRun:
    """What was computed.

    Attributes:
        records: The records by name, those of earlier runs included.
        failures: Pairs of a name and the reason why a finding could not be computed.
        left_out: Pairs of a name and the reason why a finding makes no sense for these rows.
    """

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def choose_findings(names: Sequence[str] | None) -> list[str]:
    """Return the names of findings in the order of the list.

    Args:
        names: Names, "all" or "none"; None for all.

    Raises:
        DataError: If a name is unknown.
    """
    asked = ["all"] if names is None else list(names)
    for name in asked:
        if name not in FINDINGS and name not in ("all", "none"):
            known = ", ".join(["all", "none", *FINDINGS])
            raise DataError(f"there is no finding {name!r}.{nearest(name, FINDINGS)} Known are {known}.")
    if "none" in asked and len(asked) > 1:
        raise DataError("findings: 'none' cannot be combined with other names.")
    return [name for name in FINDINGS if name in asked or "all" in asked]


def run_findings(
    audit: Audit,
    names: Sequence[str] | None = None,
    *,
    progress: Callable[[str], ProgressCallback] | None = None,
) -> FindingsRun:
    """Compute the findings of a complete audit, with its seed, and store each as findings/NAME.json.

    A finding that was computed from the same rows with the same version is read from its file. One that
    cannot be computed does not prevent the others.

    Args:
        audit: The audit, with its model and data for the findings that run the model.
        names: Names of findings; None for all.
        progress: Called with the title of each finding that is computed; returns its progress callback.

    Raises:
        DataError: If a name is unknown, or the audit is not complete.
    """
    chosen = choose_findings(names)
    run = FindingsRun()
    source = _computed_from(audit)
    seed: int = audit.plan["seed"]
    for name in chosen:
        stored = _stored(audit, name)
        if stored is not None and stored.get(COMPUTED_FROM) == source:
            run.records[name] = stored
            continue
        finding = FINDINGS[name]
        if finding.not_for_targets and audit.has_targets:
            run.left_out.append((name, finding.not_for_targets))
            continue
        try:
            if finding.needs_model:
                audit.require_model_and_data(finding.title)
            record = finding(audit, seed, progress(finding.title) if progress else None)
        except CamlucidaError as error:
            run.failures.append((name, str(error)))
            continue
        except Exception as error:  # a fault of ours must not cost the rows, the other findings and the report
            reason = f"internal error {type(error).__name__}: {error}. The rows and the other findings are kept."
            run.failures.append((name, reason))
            continue
        audit.write_finding(name, {**record, COMPUTED_FROM: source})
        run.records[name] = record
    return run


def _computed_from(audit: Audit) -> dict[str, Any]:
    """Return what determines the findings of an audit: its rows, the seed, and the version of camlucida.

    Raises:
        DataError: If the audit is not complete.
    """
    _ = audit.summary  # raises for an audit that is not complete
    rows = hashlib.blake2b((audit.path / RESULT).read_bytes(), digest_size=16).hexdigest()
    return {"rows": rows, "seed": audit.plan["seed"], "camlucida": camlucida.__version__}


def _stored(audit: Audit, name: str) -> dict[str, Any] | None:
    """Return the stored finding; None if there is none, or it is damaged, so that it is computed again."""
    try:
        return audit.finding(name)
    except DataError:
        return None
