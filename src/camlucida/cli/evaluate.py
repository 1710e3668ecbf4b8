"""camlucida evaluate"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from camlucida.cli.arguments import split
from camlucida.cli.pictures import progress_bar

if TYPE_CHECKING:
    from camlucida.evaluation import Evaluation, Summary

COLUMNS = 5
"""Metrics side by side in one table; more do not fit a terminal."""

SHOWN_FAILURES = 5


def evaluate(
    data: str,
    /,
    *,
    model: str = "toybox",
    arch: str | None = None,
    labels: Path | None = None,
    methods: Annotated[list[str] | None, Parameter(negative=())] = None,
    metrics: Annotated[list[str] | None, Parameter(negative=())] = None,
    layer: str | None = None,
    boxes: Path | None = None,
    controls: bool = True,
    target: str = "predicted",
    limit: int | None = None,
    seed: int = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/evaluation"),
) -> int:
    """Measure how good maps are over a data set, beside maps that know nothing.

    Prints a table with 95 % intervals and writes results.parquet, a row a picture, method and metric. Stopped and
    started again it goes on where it was; a picture that cannot be read is a row with its reason.

    Parameters
    ----------
    data
        A folder of pictures, whose sub-folders are the classes; or toybox, toybox:2 (objects a scene),
        toybox:watermark.
    model
        A name (resnet50, timm:…, toybox), a checkpoint, or python:module:function. See `camlucida models`.
    arch
        What a checkpoint holds the weights of.
    labels
        A text file with one class name a line.
    methods
        Separated by commas; all for every one there is. grad_cam if not given. See `camlucida models`.
    metrics
        Metrics, presets or groups of metrics (localisation, faithfulness, robustness, complexity), separated by commas;
        all for every one there is. localisation if not given.
    layer
        The layer to explain; the default one if not given.
    boxes
        A CSV file with a line a box: file, x0, y0, x1, y1 and, if known, label.
    controls
        Also measure maps that know nothing, or everything: what a metric must be able to tell apart.
    target
        What is explained: predicted, or label for the true class.
    limit
        How many pictures, drawn at random; all if not given (500 of toybox).
    seed
        Of every choice by chance.
    output
        The folder to write to.
    """
    from camlucida.controls import standard_controls
    from camlucida.data.sources import open_dataset
    from camlucida.evaluation import evaluate as run
    from camlucida.models.load import load

    console = Console()
    dataset = open_dataset(data, boxes=boxes, count=limit, seed=seed)
    chosen, wanted = _methods(methods), _metrics(metrics)
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, labels=labels)
    with progress_bar(console) as progress:
        task = progress.add_task("evaluating", total=None)
        found = run(
            loaded,
            dataset,
            methods=chosen,
            metrics=wanted,
            layer=layer,
            controls=standard_controls() if controls else (),
            target=target,
            limit=limit,
            seed=seed,
            out=output,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    show(console, found)
    console.print(f"→ {found.path / 'results.parquet'}", highlight=False, markup=False, soft_wrap=True)
    return 0


def show(console: Console, found: Evaluation) -> None:
    """The tables: a row a method, then the controls; a column a metric, with its 95 % interval."""
    table = {(s.metric, s.method): s for s in found.table()}
    measured = [name for name in found.values if any(table[name, method].n for method in found.methods)]
    for start in range(0, len(measured), COLUMNS):
        console.print(_table(found, table, measured[start : start + COLUMNS]))
    plan = found.plan
    console.print(
        f"{plan['pictures']} pictures of {plan['data']} · {plan['model']} · {plan['target']} class · 95 % intervals: "
        "bootstrap over pictures · what could not be judged counts as worst, in brackets how many",
        highlight=False,
        markup=False,
    )
    for picture, method, reason in found.failures[:SHOWN_FAILURES]:
        about = f"{picture}, {method}" if method else picture
        console.print(f"[red]{escape(about)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
    if len(found.failures) > SHOWN_FAILURES:
        console.print(f"… and {len(found.failures) - SHOWN_FAILURES} more, in the results' column error.")


def _table(found: Evaluation, table: dict[tuple[str, str], Summary], measured: Sequence[str]) -> Table:
    drawn = Table(box=None, pad_edge=False, title_justify="left")
    drawn.add_column("method")
    for name in measured:
        arrow = {"high": " ↑", "low": " ↓", "neither": ""}[found.values[name].better]
        drawn.add_column(f"{escape(name)}{arrow}", justify="right")
    for method in found.methods:
        cells = [_cell(table[name, method]) for name in measured]
        drawn.add_row(escape(method), *cells, style="dim" if method in found.controls else "")
    return drawn


def _cell(summary: Summary) -> str:
    if not summary.n or math.isnan(summary.value):
        return "–"
    invalid = f" ({summary.invalid})" if summary.invalid else ""
    return f"{summary.value:.3g} {summary.low:.3g}–{summary.high:.3g}{invalid}"


def _methods(asked: Sequence[str] | None) -> list[str]:
    from camlucida.methods import methods

    names = split(asked) or ["grad_cam"]
    return [name for one in names for name in (methods() if one == "all" else [one])]


def _metrics(asked: Sequence[str] | None) -> list[str]:
    from camlucida.metrics import groups, metrics

    names = split(asked) or ["localisation"]
    return list(
        dict.fromkeys(
            name for one in names for name in (metrics() if one == "all" else groups().get(one.lower(), [one]))
        )
    )
