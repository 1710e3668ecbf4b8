"""The `camlucida query` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.images import free_path
from camlucida.cli.options import (
    DATA,
    EXPLANATION,
    OUTPUT,
    OptionalMethodName,
    OverlayOptions,
    Overwrite,
    TerminalOptions,
    TrustCode,
)
from camlucida.cli.recorded_source import reopen_data
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.audits.audit_result import Audit

N_PRINTED, N_DRAWN = 20, 24
"""Numbers of images that are printed and drawn if --top is not given."""

PRINTED = ("image", "target", "outcome", "label", "predicted", "confidence", "energy_in_box", "error")
"""Columns that are printed, if any of the rows has a value."""


def query(
    audit: Path,
    expression: str = "",
    /,
    *,
    top: Annotated[int | None, Parameter(name=["--top", "-n"], group=DATA)] = None,
    sort_by: Annotated[str | None, Parameter(group=DATA)] = None,
    ascending: Annotated[bool, Parameter(negative=(), group=DATA)] = False,
    method: OptionalMethodName = None,
    target: Annotated[Literal["predicted", "competing", "true"], Parameter(group=EXPLANATION)] = "predicted",
    overlay: OverlayOptions = OverlayOptions(),
    panel: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    csv: Annotated[Path | None, Parameter(group=OUTPUT)] = None,
    trust_code: TrustCode = False,
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Select images of an audit by their columns, print them, and draw them with their maps.

    The network is not needed: predictions, numbers and maps are those that `camlucida audit` stored.

    Parameters
    ----------
    audit
        The folder that `camlucida audit` wrote.
    expression
        A condition such as "wrong and confidence > .9 and energy_in_box < .2": columns, numbers and texts with
        <, <=, >, >=, ==, !=, in, is none, and, or, not, + - * /. Besides the columns there are wrong, error, size
        (box_area) and metadata.NAME, a column of the data set's table; where rows are targets, missed, false and
        ignored. Names such as `hires_cam @ layer3.entropy` are written in backticks. If not given: all images.
    top
        The number of images. If not given: 20 are printed, 24 drawn, and all are written to --csv and --json.
    sort_by
        The column to sort by, the largest values first. If not given: the order of the data set.
    ascending
        Sort by the smallest values first.
    method
        The method of the maps that are drawn. If not given: the first one of the audit.
    target
        Draw the map of the predicted, the competing or the true class.
    panel
        Draw the images with their maps to this file; needs the data at their recorded location.
    csv
        Write all columns of the images to this CSV file.
    """
    from camlucida._escaping import csv_text
    from camlucida._files import atomic_write, write_image
    from camlucida.audits.audit_result import Audit

    if top is not None and top < 1:
        raise DataError(f"--top {top}: must be at least 1.")
    style = overlay.style()
    console = terminal.open("query", width=None if sys.stdout.isatty() else 140)
    opened = Audit(audit)
    rows = _sorted(opened, _matches(opened, expression), sort_by, ascending)
    chosen = rows if top is None else rows[:top]
    printed = chosen[:N_PRINTED] if top is None else chosen
    console.print_line(f"{len(rows):,} of {opened.table.num_rows:,} {'targets' if opened.has_targets else 'images'}")
    if printed:
        console.print(_table(opened, printed, sort_by))
    if len(chosen) > len(printed):
        console.print_line(f"… and {len(chosen) - len(printed):,} more: --top prints them, --csv writes them.")
    console.add(n_images=opened.table.num_rows, n_matches=len(rows))
    if terminal.json:
        console.add(rows=_rows(opened, chosen).to_pylist())
    if csv is not None:
        columns = opened.table.column_names
        path = free_path(csv, overwrite)
        atomic_write(path, csv_text(columns, _rows(opened, chosen).to_pylist()))
        console.print_paths([path])
    if panel is not None:
        drawn = chosen[:N_DRAWN] if top is None else chosen
        path = free_path(panel, overwrite)
        with_data = _with_data(opened, trust_code)
        with console.status("Drawing …"):
            write_image(lambda: _draw(with_data, drawn, expression, method, target, style), path)
        errors = opened.column("error")
        if n_left_out := sum(errors[row] is not None for row in drawn):
            console.print_line(f"{n_left_out:,} of {len(drawn):,} rows are not drawn, because of an error.")
        console.print_paths([path])
    return console.finish()


def _matches(audit: Audit, expression: str) -> list[int]:
    if not expression.strip():
        return list(range(audit.table.num_rows))
    return [int(row) for row in audit.query(expression)]


def _rows(audit: Audit, rows: Sequence[int]) -> Any:
    """Return rows as an Arrow table, in this order."""
    import numpy as np

    return audit.table.take(np.array(rows, dtype=np.int64))


def _sorted(audit: Audit, rows: Sequence[int], column: str | None, ascending: bool) -> list[int]:
    """Return rows in the order of a column; missing values come last, and equal ones keep their order."""
    if column is None:
        if ascending:
            raise DataError("--ascending needs --sort-by and a column.")
        return list(rows)
    values = audit.column(column).tolist()
    known = [row for row in rows if values[row] is not None and values[row] == values[row]]
    missing = [row for row in rows if values[row] is None or values[row] != values[row]]
    return sorted(known, key=lambda row: values[row], reverse=not ascending) + missing


def _table(audit: Audit, rows: Sequence[int], sort_by: str | None) -> Table:
    """Return the printed table: the usual columns that have values, and the one that is sorted by."""
    selected = _rows(audit, rows)
    usual = [name for name in PRINTED if name in selected.column_names]
    names = [*usual, *([sort_by] if sort_by and sort_by not in usual else [])]
    cells = {name: selected[name].to_pylist() for name in names}
    names = [name for name in names if any(value is not None for value in cells[name])]
    table = Table(box=None, pad_edge=False)
    for name in names:
        numeric = any(isinstance(value, int | float) for value in cells[name])
        table.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for i in range(len(rows)):
        table.add_row(*(_cell(cells[name][i]) for name in names))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))


def _with_data(audit: Audit, trust_code: bool) -> Audit:
    """Return the audit with its data, opened from where plan.json records them."""
    from camlucida.audits.audit_result import Audit as WithData

    record, source = str(audit.path / "plan.json"), audit.store.source
    if not source:
        raise DataError(f"{record} does not record where the data are, so --panel cannot draw them.")
    data = reopen_data(source, record_path=record, seed=int(audit.plan["seed"]), trust_code=trust_code)
    return WithData(audit.path, None, data)


def _draw(
    audit: Audit,
    rows: Sequence[int],
    expression: str,
    method: str | None,
    target: Literal["predicted", "competing", "true"],
    style: dict[str, Any],
) -> Any:
    from camlucida.audits.panel import draw_panel

    return draw_panel(audit, rows, title=expression.strip(), method=method, explained=target, **style)
