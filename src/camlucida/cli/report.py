"""The `camlucida report` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from camlucida.cli.evaluate import write_report
from camlucida.cli.images import free_path
from camlucida.cli.options import OUTPUT, Overwrite, TerminalOptions, TrustCode
from camlucida.cli.progress import progress_bar
from camlucida.cli.recorded_source import reopen_data, reopen_model_and_data
from camlucida.cli.terminal import Terminal

if TYPE_CHECKING:
    from camlucida.data.datasets import Dataset

EVALUATION_REPORT, AUDIT_REPORT = "report.html", "audit.html"


def report(
    run: Path,
    /,
    *,
    images: Annotated[bool, Parameter(group=OUTPUT)] = True,
    trust_code: TrustCode = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], group=OUTPUT)] = None,
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Write the HTML report of a finished evaluation or audit.

    The report of an evaluation has tables, curves, best and worst images, and costs. That of an audit has suspected
    cues, the confusion matrix, slices and the most doubtful images, and filters all images; audit.json and images.csv
    are written beside it.

    Parameters
    ----------
    run
        The folder that `camlucida evaluate` or `camlucida audit` wrote.
    images
        Display images; needs the data, and for an evaluation the model, at their recorded locations.
    output
        The HTML file to write. If not given: report.html, or audit.html in the folder of an audit, which is replaced.
    """
    console = terminal.open("report")
    if is_audit(run):
        _report_audit(console, run, images, trust_code, output, overwrite)
    else:
        _report_evaluation(console, run, images, trust_code, output or Path(EVALUATION_REPORT), overwrite)
    return console.finish()


def is_audit(folder: Path) -> bool:
    """Return whether a folder is that of an audit, by its plan.json."""
    try:
        content = json.loads((folder.expanduser() / "plan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and isinstance(content.get("plan"), dict) and "arrays" in content["plan"]


def _report_audit(
    console: Terminal, run: Path, images: bool, trust_code: bool, output: Path | None, overwrite: bool
) -> None:
    from camlucida.audits.audit_result import Audit
    from camlucida.report.audit_page import audit_report

    audit = Audit(run.expanduser())
    _ = audit.summary  # read first, so that an audit that is not complete is reported
    data: Dataset | None = None
    if images and (source := audit.store.source):
        record = str(run / "plan.json")
        data = reopen_data(source, record_path=record, seed=int(audit.plan["seed"]), trust_code=trust_code)
    path = audit.path / AUDIT_REPORT if output is None else free_path(output, overwrite)
    with progress_bar(console) as bar:
        task = bar.add_task("reading images", total=None)
        written = audit_report(
            Audit(audit.path, None, data),
            path,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print_paths([written])


def _report_evaluation(
    console: Terminal, run: Path, images: bool, trust_code: bool, output: Path, overwrite: bool
) -> None:
    from camlucida.evaluation import Evaluation
    from camlucida.evaluation.store import Store

    evaluation, source = Evaluation(run), Store(run).source
    model = data = None
    seed = evaluation.plan["seed"]  # read first, so that a folder without a run is reported
    if images and source:
        model, data = reopen_model_and_data(source, record_path=str(run / "run.json"), seed=seed, trust_code=trust_code)
    write_report(console, evaluation, free_path(output, overwrite), model, data)
