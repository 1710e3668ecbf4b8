"""The `camlucida sanity` command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import input_files, progress_bar
from camlucida.cli.lists import TrustCode, split_list
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.sanity_checks import Sanity

IMAGES = 12
"""Default number of images to check; each step computes maps for all of them."""


def sanity(
    images: Annotated[list[str], Parameter(help="Pictures, folders of pictures, or toybox.", negative=())],
    /,
    *,
    model: str = "toybox",
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    methods: Annotated[list[str] | None, Parameter(negative=())] = None,
    checks: Annotated[list[str] | None, Parameter(negative=())] = None,
    layer: str | None = None,
    seeds: int = 5,
    limit: int = IMAGES,
    seed: int = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/sanity"),
) -> int:
    """Check whether maps change when weights are randomised and classes differ (Adebayo et al., 2018).

    Re-initialises the network's weights at random, stage by stage, and explains other classes; prints a verdict per
    method, and writes all numbers and a strip of maps.

    Parameters
    ----------
    images
        Images, folders of images, or toybox.
    model
        A name (resnet50, timm:…, toybox), a checkpoint, or python:module:function. See `camlucida models`.
    arch
        The architecture that a checkpoint holds the weights of.
    labels
        A text file with one class name per line.
    methods
        Methods separated by commas; grad_cam if not given. See `camlucida models`.
    checks
        The checks, separated by commas: cascading, independent, smooth, random_logit and, on toybox, labels. cascading
        and random_logit if not given.
    layer
        The layer to explain; the default layer if not given.
    seeds
        The number of random initialisations.
    limit
        The number of images, selected at random.
    seed
        The random seed of the selection.
    output
        The folder to write to.
    """
    from camlucida.data.datasets import sample_indices
    from camlucida.data.open import open_dataset
    from camlucida.models.load import load
    from camlucida.sanity_checks import sanity as run

    console = Terminal()
    if limit < 1 or seeds < 1:
        raise DataError(f"--limit {limit} --seeds {seeds}: both are 1 or more.")
    if images == ["toybox"]:
        scenes = open_dataset("toybox", count=limit, seed=seed)
        sources = [scenes[i].image for i in range(limit)]
    else:
        files = input_files(images, output)
        sources = [files[i] for i in sample_indices(len(files), limit, seed)]
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, trust_code=trust_code, labels=labels)
    with progress_bar(console) as progress:
        task = progress.add_task("drawing weights anew", total=None)
        result = run(
            loaded,
            sources,
            methods=split_list(methods) or ["grad_cam"],
            checks=split_list(checks) or ["cascading", "random_logit"],  # type: ignore[arg-type]
            layer=layer,
            seeds=seeds,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _print_sanity(console, result)
    for path in _write_sanity(result, output):
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)
    return exit_code(len(result.steps), len(result.failures))


def _print_sanity(console: Console, result: Sanity) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("method", "check", "verdict", "rank correlation", "passes below", "upper half", "maps"):
        table.add_column(column, justify="left" if column in ("method", "check", "verdict") else "right")
    for verdict in result.verdicts:
        passed_text = {True: "[green]passes[/]", False: "[bold red]FAILS[/]", None: "cannot tell"}[verdict.passed]
        images = f"{verdict.n} ({verdict.invalid} without)" if verdict.invalid else str(verdict.n)
        upper = "" if verdict.upper is None else f"{verdict.upper:.2f}"
        value = f"{verdict.value:.2f} ± {verdict.error:.2f}"
        table.add_row(escape(verdict.method), verdict.check, passed_text, value, f"{verdict.limit:.2f}", upper, images)
    console.print(table)
    for name, reason in result.failures:
        console.print(f"[red]{escape(name)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)


def _write_sanity(result: Sanity, output: Path) -> Sequence[Path]:
    from dataclasses import asdict, fields

    from camlucida._escaping import csv_text
    from camlucida._files import atomic_write, write_image
    from camlucida.sanity_checks import Step

    table = output / "sanity.csv"
    columns = [field.name for field in fields(Step)]
    atomic_write(table, csv_text(columns, (asdict(step) for step in result.steps)))
    strip = output / "sanity.png"
    write_image(result.figure, strip)
    return [table, strip]
