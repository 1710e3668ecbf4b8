"""The part of `camlucida audit` that compares the audit with an earlier one, and fails on conditions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from camlucida.cli.exit_codes import CONDITION_HOLDS, DONE
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.audits.audit_result import Audit
    from camlucida.audits.comparison.conditions import Condition

FINDING = "comparison"
"""Name of the finding that is written."""


def check_comparison(
    against: Path | None, fail_on: str | None, junit: Path | None, markdown: Path | None
) -> list[Condition]:
    """Check the options of a comparison before anything is computed, and return the conditions.

    Args:
        against: Folder of the earlier audit; None for no comparison.
        fail_on: Conditions under which the command fails, separated by semicolons.
        junit: The XML file to write.
        markdown: The Markdown file to write.

    Raises:
        DataError: If a condition cannot be parsed or names a column that the earlier audit does not have, the folder
            holds no complete audit, or an option lacks another one.
    """
    from camlucida.audits.audit_result import Audit
    from camlucida.audits.comparison.conditions import check_columns, parse_conditions
    from camlucida.audits.comparison.matching import comparable_columns

    if against is None:
        for name, value in (("--fail-on", fail_on), ("--junit", junit), ("--markdown", markdown)):
            if value is not None:
                raise DataError(f"{name} needs --against, the folder of an earlier audit of the same images.")
        return []
    old = Audit(against.expanduser())
    _ = old.summary  # raises for a folder without a complete audit
    if junit is not None and fail_on is None:
        raise DataError('--junit has one test case per condition of --fail-on. Add --fail-on "energy_in_box drops".')
    conditions = parse_conditions(fail_on) if fail_on is not None else []
    check_columns(conditions, comparable_columns(old, old))
    return conditions


def compare_with(
    console: Terminal,
    audit: Audit,
    against: Path,
    fail_on: str | None = None,
    junit: Path | None = None,
    markdown: Path | None = None,
) -> int:
    """Compare a complete audit with an earlier one, print and write the result, and return the exit code.

    The comparison is stored as findings/comparison.json in the folder of the audit. No model is run.

    Args:
        console: Where the result is printed.
        audit: The new audit.
        against: Folder of the earlier one.
        fail_on: Conditions under which the command fails, separated by semicolons; None for none.
        junit: The XML file to write; None for none.
        markdown: The Markdown file to write; None for none.

    Returns:
        `CONDITION_HOLDS` if a condition holds, otherwise `DONE`.

    Raises:
        DataError: If a condition cannot be parsed or tested, or the audits cannot be compared.
    """
    from camlucida._files import atomic_write
    from camlucida.audits.audit_result import Audit
    from camlucida.audits.comparison.compare import compare_matched
    from camlucida.audits.comparison.conditions import check_conditions
    from camlucida.audits.comparison.matching import match_audits
    from camlucida.audits.comparison.summary_files import junit_xml
    from camlucida.audits.comparison.summary_files import markdown as markdown_text

    conditions = check_comparison(against, fail_on, junit, markdown)
    matched = match_audits(Audit(against.expanduser()), audit)
    results = check_conditions(matched, conditions)
    comparison = compare_matched(matched, seed=int(audit.plan["seed"]))
    record = {**comparison.record(), "conditions": [result.record() for result in results]}
    console.note_files([audit.write_finding(FINDING, record)])
    console.add(comparison=record)
    console.print_line(f"against {against}:")
    for sentence in comparison.sentences():
        console.print_line(f"  {sentence}")
    for result in results:
        console.print_line(f"{'FAILED' if result.holds else 'passed'}: {result.condition.text}")
        for sentence in result.sentences():
            console.print_line(f"  {sentence}")
    written = []
    if junit is not None:
        atomic_write(junit, junit_xml(comparison, results))
        written.append(junit)
    if markdown is not None:
        atomic_write(markdown, markdown_text(comparison, results))
        written.append(markdown)
    console.print_paths(written)
    return CONDITION_HOLDS if any(result.holds for result in results) else DONE
