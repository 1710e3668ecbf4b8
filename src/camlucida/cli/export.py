"""The `camlucida export` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from camlucida.cli.images import free_path
from camlucida.cli.options import DATA, OUTPUT, Overwrite, TerminalOptions, TrustCode
from camlucida.errors import CamlucidaError, DataError

if TYPE_CHECKING:
    from camlucida.audits.audit_result import Audit
    from camlucida.audits.record.audit_record import AuditRecord
    from camlucida.cli.terminal import Terminal

MODEL_CARD = "model-card"

SUFFIXES = {"csv": ".csv", "coco": ".coco.json", "fiftyone": ".fiftyone.json", MODEL_CARD: ".md"}
"""Suffix of the file by format."""


def export(
    audit: Path,
    /,
    *,
    format: Annotated[Literal["csv", "coco", "fiftyone", "model-card"], Parameter(group=OUTPUT)] = "csv",
    where: Annotated[str | None, Parameter(group=DATA)] = None,
    top: Annotated[int | None, Parameter(name=["--top", "-n"], group=DATA)] = None,
    images: Annotated[bool, Parameter(group=DATA)] = True,
    trust_code: TrustCode = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], group=OUTPUT)] = None,
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Write images of an audit for other tools, or the model card of its model.

    A model card says of each line whether it was measured, was not measured, or has to be filled in by a person.

    Parameters
    ----------
    audit
        The folder that `camlucida audit` wrote.
    format
        csv: all columns; coco: COCO's JSON, with the boxes; fiftyone: a data set that `fiftyone.Dataset.from_json`
        reads; model-card: Markdown with the YAML header of the Hugging Face hub.
    where
        Only the images that fulfil an expression, as for `camlucida query`: "wrong and confidence > .9".
    top
        At most so many images.
    images
        Also open the data set, for the paths of the images and their boxes. A model card also opens the model, for the
        comparison with uninformative maps.
    output
        The file to write. If not given: images.csv, images.coco.json, images.fiftyone.json or model-card.md in the
        audit's folder.
    """
    from camlucida.audits.exports import export as write

    console = terminal.open("export")
    opened = _opened(console, audit, images and format != "csv", trust_code)
    if format == MODEL_CARD and (where is not None or top is not None):
        raise DataError("--where and --top select images: a model card describes the whole audit.")
    name = "model-card" if format == MODEL_CARD else "images"
    file = free_path(output or audit / f"{name}{SUFFIXES[format]}", overwrite)
    if format == MODEL_CARD:
        from camlucida._files import atomic_write
        from camlucida.audits.record.model_card import model_card

        atomic_write(file, model_card(_record(console, opened)))
    else:
        indices = _selected(opened, where)[:top]
        if not indices:
            raise DataError(f"no image of {audit} fulfils {where!r}." if where else f"{audit} has no images.")
        write(opened, file, format, indices)
        console.add(n_images=len(indices))
        rows = "targets" if opened.has_targets else "images"
        console.print_line(f"{len(indices)} of {opened.table.num_rows} {rows}")
    console.print_paths([file])
    return console.finish()


def _opened(console: Terminal, folder: Path, with_data: bool, trust_code: bool) -> Audit:
    """Open an audit, with its model and data if they are wanted and available; the reason is printed if not."""
    from camlucida.audits.audit_result import Audit
    from camlucida.cli.recorded_source import reopen_model_and_data

    audit = Audit(folder)
    _ = audit.summary  # raises for a folder without a complete audit
    source = audit.store.source
    if not with_data:
        return audit
    if not source:
        console.print_line("Without paths and boxes: the audit does not record where its data are.")
        return audit
    record, seed = str(folder / "plan.json"), audit.plan["seed"]
    try:
        with console.status("Opening the data …"):
            model, data = reopen_model_and_data(source, record_path=record, seed=seed, trust_code=trust_code)
        opened = Audit(folder, model, data)
        difference = opened.mismatch()
    except CamlucidaError as error:
        console.print_line(f"Without paths and boxes: {error}")
        return audit
    if difference:
        console.print_line(f"Without paths and boxes: {difference}.")
        return audit
    return opened


def _selected(audit: Audit, where: str | None) -> list[int]:
    if where is None:
        return list(range(audit.table.num_rows))
    from camlucida.audits.query import select

    return [index for index, chosen in enumerate(select(audit.table, where)) if chosen]


def _record(console: Terminal, audit: Audit) -> AuditRecord:
    """Return the stored record of an audit, or write it."""
    from camlucida.audits.record.audit_record import AuditRecord, find_record

    stored = audit.finding("record")
    if stored is not None:
        return AuditRecord.from_record(stored)
    with console.status("Writing the record …"):
        record = find_record(audit, seed=audit.plan["seed"])
    audit.write_finding("record", record.record())
    return record
