"""The files beside an audit's report: audit.json with all findings, and images.csv with one row per image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from camlucida._escaping import csv_text
from camlucida._files import atomic_write
from camlucida.audits.audit_result import FINDINGS_FOLDER, Audit


def all_findings(audit: Audit) -> dict[str, Any]:
    """Return the content of every file in findings/, by name.

    Raises:
        DataError: If one of them is damaged.
    """
    names = sorted(file.stem for file in (audit.path / FINDINGS_FOLDER).glob("*.json"))
    return {name: finding for name in names if (finding := audit.finding(name)) is not None}


def write_exports(audit: Audit, path: Path) -> list[Path]:
    """Write audit.json and images.csv beside a report.

    Args:
        audit: The audit.
        path: The HTML file of the report. Outside of the audit's folder the names of the two files begin with its own,
            since images.csv may be a file of the user there.

    Returns:
        The paths of the two files.
    """
    content = {
        "schema_version": 1,
        "plan": audit.plan,
        "summary": audit.summary,
        "findings": all_findings(audit),
    }
    is_inside = path.parent.resolve() == audit.path.resolve()
    record, table = path.with_suffix(".json"), path.with_name("images.csv" if is_inside else f"{path.stem}-images.csv")
    atomic_write(record, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    atomic_write(table, csv_text(audit.table.column_names, audit.rows))
    return [record, table]
