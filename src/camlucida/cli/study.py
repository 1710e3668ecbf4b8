"""The `camlucida study` commands."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.examples import epilogue
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import free_path, input_files
from camlucida.cli.model_and_data import PretrainedModelOptions
from camlucida.cli.option_values import split_list
from camlucida.cli.options import (
    DATA,
    EXPLANATION,
    OUTPUT,
    TESTS,
    Images,
    Layer,
    Output,
    Overwrite,
    Seed,
    Target,
    TerminalOptions,
)
from camlucida.cli.progress import progress_bar
from camlucida.cli.terminal import interval_text

study = App(name="study", help="A blind user study: which maps do people prefer, without knowing the methods?")


@study.command(help_epilogue=epilogue("study make"))
def make(
    images: Images,
    /,
    *,
    method: Annotated[list[str], Parameter(negative=(), group=EXPLANATION)],
    model: PretrainedModelOptions = PretrainedModelOptions(),
    layer: Layer = None,
    target: Target = None,
    pairs: Annotated[int, Parameter(group=TESTS)] = 3,
    ratings: Annotated[int, Parameter(group=TESTS)] = 1,
    seed: Seed = 0,
    output: Output = Path("camlucida-out/study"),
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Create a blind user study: compute the maps, remove the method names, and write the questions.

    `camlucida app --study FOLDER` asks the questions.

    Parameters
    ----------
    method
        Two or more methods, separated by commas. See `camlucida models`.
    layer
        The layer to explain (target_layers in pytorch-grad-cam). If not given: the default layer.
    target
        The class to explain: a name or an index. If not given: the predicted class.
    pairs
        The number of random pairs of methods per image that participants compare.
    ratings
        The number of maps per image that participants rate individually.
    seed
        The random seed.
    output
        The folder of the study.
    """
    from camlucida.user_study import make_study

    console = terminal.open("study make")
    files = input_files(images, output)
    model = model.or_default(console)
    with console.status(model.status):
        loaded = model.load()
    with progress_bar(console) as progress:
        task = progress.add_task("computing maps", total=len(files))
        created = make_study(
            output,
            loaded,
            files,
            methods=split_list(method) or [],
            layer=layer,
            target=target,
            pairs=pairs,
            ratings=ratings,
            seed=seed,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    metadata = created.metadata
    for reason in metadata["left_out"]:
        console.print_failure("not in the study", reason)
    _, total = created.progress("anybody")
    console.print_line(f"{total} questions about {metadata['n_images']} images per participant")
    console.add(n_questions=total, n_images=metadata["n_images"])
    console.print_paths([created.path])
    return console.finish(exit_code(metadata["n_images"], len(metadata["left_out"])))


@study.command(help_epilogue=epilogue("study results"))
def results(
    folder: Path,
    /,
    *,
    evaluation: Annotated[Path | None, Parameter(group=DATA)] = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], group=OUTPUT)] = None,
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Show the results of a user study so far: preference strengths, ratings, and the agreement between participants.

    Parameters
    ----------
    folder
        The folder of the study.
    evaluation
        The folder of an evaluation of the same methods: also print how well its metrics agree with the participants.
    output
        Also write the table to this CSV file.
    """
    from camlucida.evaluation import Evaluation
    from camlucida.user_study import Study
    from camlucida.user_study import results as compute_results

    console = terminal.open("study results")
    result = compute_results(
        Study(folder / "study.sqlite" if folder.is_dir() else folder),
        None if evaluation is None else Evaluation(evaluation),
    )
    table = Table(box=None, pad_edge=False)
    for column in ("method", "strength (Bradley-Terry)", "rating, 1 to 5", "pairs won"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for ranking in result.ranking:
        table.add_row(
            escape(ranking.method),
            interval_text(ranking.strength, ".2f"),
            interval_text(ranking.rating, ".2f"),
            f"{ranking.n_won} of {ranking.n_compared}",
        )
    console.print(table)
    agreement = "" if math.isnan(result.agreement) else f" · two participants agree on {result.agreement:.0%} of pairs"
    console.print_line(f"{result.answers} answers of {result.people} participants · 95 % intervals{agreement}")
    if result.metric_agreement:
        table = Table(box=None, pad_edge=False)
        table.add_column("metric")
        table.add_column("Kendall's tau with participants", justify="right")
        for name, tau in sorted(result.metric_agreement.items(), key=lambda item: -item[1]):
            table.add_row(escape(name), f"{tau:.2f}")
        console.print(table)
    if output is not None:
        console.print_paths([result.save(free_path(output, overwrite))])
    console.add(
        ranking=result.ranking,
        n_answers=result.answers,
        n_participants=result.people,
        agreement=result.agreement,
        metric_agreement=result.metric_agreement,
    )
    return console.finish()
