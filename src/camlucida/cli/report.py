"""The `camlucida report` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from camlucida.cli.evaluate import write_report
from camlucida.cli.images import free_path
from camlucida.cli.model_and_data import reopen_model_and_data
from camlucida.cli.options import OUTPUT, Output, Overwrite, TerminalOptions, TrustCode


def report(
    run: Path,
    /,
    *,
    images: Annotated[bool, Parameter(group=OUTPUT)] = True,
    trust_code: TrustCode = False,
    output: Output = Path("report.html"),
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Write the HTML report of a finished evaluation: tables, curves, best and worst images, costs.

    Parameters
    ----------
    run
        The folder that `camlucida evaluate` wrote.
    images
        Also explain some images again and display them; needs the model and the data at their recorded locations.
    output
        The HTML file to write.
    """
    from camlucida.evaluation import Evaluation
    from camlucida.evaluation.store import Store

    console = terminal.open("report")
    evaluation, source = Evaluation(run), Store(run).source
    model = data = None
    seed = evaluation.plan["seed"]  # read first, so that a folder without a run is reported
    if images and source:
        model, data = reopen_model_and_data(source, record_path=str(run / "run.json"), seed=seed, trust_code=trust_code)
    write_report(console, evaluation, free_path(output, overwrite), model, data)
    return console.finish()
