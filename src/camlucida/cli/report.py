"""camlucida report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from camlucida.cli.evaluate import write_report


def report(
    run: Path,
    /,
    *,
    pictures: bool = True,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("report.html"),
) -> int:
    """Write the page of a finished evaluation: tables, curves, best and worst pictures, costs.

    Parameters
    ----------
    run
        The folder that `camlucida evaluate` wrote.
    pictures
        Explain some pictures again and show them; needs the model and the data where they were.
    output
        The page to write.
    """
    from camlucida.data.sources import open_dataset
    from camlucida.evaluation import Evaluation
    from camlucida.evaluation.store import Store
    from camlucida.models.load import load

    console = Console()
    found, source = Evaluation(run), Store(run).source
    model = data = None
    seed = found.plan["seed"]  # read first: a folder without a run says so
    if pictures and source:
        model = load(source["model"], arch=source["arch"], labels=source["labels"])
        data = open_dataset(source["data"], boxes=source["boxes"], count=source["count"], seed=seed)
    write_report(console, found, output, model, data)
    return 0
