"""The `camlucida study` commands."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import input_files, progress_bar
from camlucida.cli.lists import TrustCode, split_list
from camlucida.cli.terminal import Terminal

if TYPE_CHECKING:
    from camlucida.evaluation.statistics import Interval

study = App(name="study", help="A blind study: which maps do people believe, not knowing whose they are?")


@study.command
def make(
    images: Annotated[list[str], Parameter(help="Pictures, or folders of pictures.", negative=())],
    /,
    *,
    methods: Annotated[list[str], Parameter(negative=())],
    model: str = "resnet50",
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    layer: str | None = None,
    target: str | None = None,
    pairs: int = 3,
    ratings: int = 1,
    seed: int = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/study"),
) -> int:
    """Create a blind user study: compute the maps, remove the method names, and write the questions.

    Parameters
    ----------
    images
        Images, or folders of images.
    methods
        Two or more methods, separated by commas.
    model
        A name (resnet50, timm:…, toybox), a checkpoint, or python:module:function.
    arch
        The architecture that a checkpoint holds the weights of.
    labels
        A text file with one class name per line.
    layer
        The layer to explain; the default layer if not given.
    target
        What to explain: a class name or index; the predicted class if not given.
    pairs
        The number of random pairs of methods to compare per image.
    ratings
        The number of maps per image that are rated individually.
    seed
        The random seed.
    output
        The folder of the study.
    """
    from camlucida.models.load import load
    from camlucida.user_study import make_study

    console = Terminal()
    files = input_files(images, output)
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, trust_code=trust_code, labels=labels)
    with progress_bar(console) as progress:
        task = progress.add_task("drawing maps", total=len(files))
        created = make_study(
            output,
            loaded,
            files,
            methods=split_list(methods) or [],
            layer=layer,
            target=target,
            pairs=pairs,
            ratings=ratings,
            seed=seed,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    metadata = created.metadata
    for reason in metadata["left_out"]:
        console.print(f"[red]left out[/]: {escape(reason)}", highlight=False, soft_wrap=True)
    _, total = created.progress("anybody")
    console.print(f"{total} questions about {metadata['pictures']} pictures a person", highlight=False)
    console.print(f"→ {created.path}", highlight=False, markup=False, soft_wrap=True)
    return exit_code(metadata["pictures"], len(metadata["left_out"]))


@study.command
def results(
    folder: Path,
    /,
    *,
    evaluation: Path | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> int:
    """Show the results of a user study so far: preference strengths, ratings, and the agreement between participants.

    Parameters
    ----------
    folder
        The folder of the study.
    evaluation
        The folder of an evaluation of the same methods: also prints which metrics agree with the participants.
    output
        A CSV file to write the table to.
    """
    from camlucida.evaluation import Evaluation
    from camlucida.user_study import Study
    from camlucida.user_study import results as found_in

    console = Terminal()
    result = found_in(
        Study(folder / "study.sqlite" if folder.is_dir() else folder),
        None if evaluation is None else Evaluation(evaluation),
    )
    table = Table(box=None, pad_edge=False)
    for column in ("method", "strength (Bradley-Terry)", "rating, 1 to 5", "pairs won"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for ranking in result.ranking:
        table.add_row(
            escape(ranking.method),
            _interval_text(ranking.strength),
            _interval_text(ranking.rating),
            f"{ranking.n_won} of {ranking.n_compared}",
        )
    console.print(table)
    agreement = (
        "" if math.isnan(result.agreement) else f" · two people say the same of {result.agreement:.0%} of the pairs"
    )
    console.print(f"{result.answers} answers of {result.people} people · 95 % intervals{agreement}", highlight=False)
    if result.metric_agreement:
        table = Table(box=None, pad_edge=False)
        table.add_column("metric")
        table.add_column("Kendall's tau with people", justify="right")
        for name, tau in sorted(result.metric_agreement.items(), key=lambda item: -item[1]):
            table.add_row(escape(name), f"{tau:.2f}")
        console.print(table)
    if output is not None:
        console.print(f"→ {result.save(output)}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _interval_text(interval: Interval) -> str:
    if math.isnan(interval.value):
        return "–"
    return f"{interval.value:.2f} {interval.low:.2f}–{interval.high:.2f}"
