"""The `camlucida sanity` command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import free_path, input_files
from camlucida.cli.method_choice import announced_method
from camlucida.cli.model_and_data import ModelOptions
from camlucida.cli.option_values import split_list
from camlucida.cli.options import DATA, TESTS, Layer, Names, Output, Overwrite, Seed, Target, TerminalOptions
from camlucida.cli.progress import progress_bar
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.sanity_checks import Sanity


def sanity(
    images: Annotated[
        list[str],
        Parameter(
            help="Image files, folders of images, globs, - for a list of paths on standard input; or toybox.",
            negative=(),
        ),
    ],
    /,
    *,
    model: ModelOptions = ModelOptions(),
    method: Names = None,
    checks: Annotated[list[str] | None, Parameter(negative=(), group=TESTS)] = None,
    layer: Layer = None,
    target: Target = None,
    seeds: Annotated[int, Parameter(group=TESTS)] = 5,
    limit: Annotated[int, Parameter(group=DATA)] = 12,
    seed: Seed = 0,
    output: Output = Path("camlucida-out/sanity"),
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Check whether maps change when weights are randomised and for other classes (Adebayo et al., 2018).

    Re-initialises the network's weights at random, layer by layer from the output, and explains other classes; prints a
    verdict per method, and writes all numbers (sanity.csv) and a strip of maps (sanity.png).

    Parameters
    ----------
    method
        Methods, separated by commas. If not given: the default one, as of
        `camlucida explain`. See `camlucida models`.
    checks
        The checks, separated by commas: cascading, independent, smooth, random_logit and, on toybox, labels. If not
        given: cascading and random_logit.
    layer
        The layer to explain (target_layers in pytorch-grad-cam). If not given: the default layer.
    target
        What to explain in every image, as in explain: a class, "box 1", "class:dog", "word 2", "text:a dog"; or all for
        every box, region or word. It is read at the same position while the weights change. If not given: the predicted
        class.
    seeds
        The number of random re-initialisations.
    limit
        The number of images, selected at random; every step of a check explains all of them.
    seed
        The random seed of the selection.
    output
        The folder to write to.
    """
    from camlucida.data.datasets import sample_indices
    from camlucida.data.open import is_toybox, open_dataset
    from camlucida.sanity_checks import sanity as run

    console = terminal.open("sanity")
    if limit < 1 or seeds < 1:
        raise DataError(f"--limit {limit} --seeds {seeds}: both must be at least 1.")
    model = model.for_data(images[0]) if len(images) == 1 else model
    if len(images) == 1 and is_toybox(images[0]):
        scenes = open_dataset(images[0], count=limit, seed=seed)
        sources = [scenes[i].image for i in range(limit)]
    else:
        files = input_files(images, output)
        sources = [files[i] for i in sample_indices(len(files), limit, seed)]
    with console.status(model.status):
        loaded = model.load()
    with progress_bar(console) as progress:
        task = progress.add_task("randomising weights", total=None)
        result = run(
            loaded,
            sources,
            methods=split_list(method) or [announced_method(console, loaded)],
            checks=split_list(checks) or ["cascading", "random_logit"],  # type: ignore[arg-type]
            layer=layer,
            target=target,
            seeds=seeds,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _print_sanity(console, result)
    console.add(verdicts=result.verdicts)
    console.print_paths(_write_sanity(result, output, overwrite))
    return console.finish(exit_code(len(result.steps), len(result.failures)))


def _print_sanity(console: Terminal, result: Sanity) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("method", "check", "verdict", "rank correlation", "passes below", "upper half", "maps"):
        table.add_column(column, justify="left" if column in ("method", "check", "verdict") else "right")
    for verdict in result.verdicts:
        passed_text = {True: "[green]passes[/]", False: "[bold red]FAILS[/]", None: "cannot tell"}[verdict.passed]
        n_maps = f"{verdict.n} ({verdict.invalid} invalid)" if verdict.invalid else str(verdict.n)
        upper = "" if verdict.upper is None else f"{verdict.upper:.2f}"
        value = f"{verdict.value:.2f} ± {verdict.error:.2f}"
        table.add_row(escape(verdict.method), verdict.check, passed_text, value, f"{verdict.limit:.2f}", upper, n_maps)
    console.print(table)
    for name, reason in result.failures:
        console.print_failure(name, reason)


def _write_sanity(result: Sanity, output: Path, overwrite: bool) -> Sequence[Path]:
    from dataclasses import asdict, fields

    from camlucida._escaping import csv_text
    from camlucida._files import atomic_write, write_image
    from camlucida.sanity_checks import Step

    table = free_path(output / "sanity.csv", overwrite)
    columns = [field.name for field in fields(Step)]
    atomic_write(table, csv_text(columns, (asdict(step) for step in result.steps)))
    strip = free_path(output / "sanity.png", overwrite)
    write_image(result.figure, strip)
    return [table, strip]
