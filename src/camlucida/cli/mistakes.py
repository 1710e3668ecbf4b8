"""The `camlucida mistakes` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.method_choice import announced_method
from camlucida.cli.model_and_data import ModelOptions, open_model_and_data
from camlucida.cli.options import (
    OUTPUT,
    Boxes,
    Layer,
    Limit,
    OptionalMethodName,
    Output,
    Seed,
    TerminalOptions,
    Top,
)
from camlucida.cli.progress import progress_bar
from camlucida.cli.recorded_source import recorded_source
from camlucida.cli.terminal import Terminal

if TYPE_CHECKING:
    from camlucida.analysis import Mistakes
    from camlucida.evaluation.statistics import Interval

MAX_PAIRS = 8
"""Maximum number of pairs of confused classes that are printed."""


def mistakes(
    data: str,
    /,
    *,
    model: ModelOptions = ModelOptions(),
    method: OptionalMethodName = None,
    layer: Layer = None,
    maps: Annotated[bool, Parameter(group=OUTPUT)] = True,
    boxes: Boxes = None,
    limit: Limit = None,
    top: Top = 12,
    seed: Seed = 0,
    output: Output = Path("camlucida-out/mistakes"),
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Analyse a model's errors: the confusion matrix, the calibration, and the maps of wrong predictions.

    Writes predictions.parquet (one row per image), confusion.png, errors.png and report.html. An interrupted run
    resumes when it is started again; an image that cannot be read becomes a row with the reason.

    Parameters
    ----------
    data
        A data set with labels, as for `camlucida evaluate`: a folder whose sub-folders are the classes, toybox, …
    method
        The explanation method. See `camlucida models`. If not given: the default method, as of `camlucida
        explain`.
    layer
        The layer to explain (target_layers in pytorch-grad-cam). If not given: the default layer.
    maps
        Also compute the map of every image, and compare the maps of correct and wrong predictions.
    limit
        The number of images, selected at random. If not given: all, or 500 of toybox.
    top
        The number of the most confident errors to display.
    seed
        The random seed.
    output
        The folder to write to.
    """
    from camlucida._files import write_image
    from camlucida.analysis import mistakes as run
    from camlucida.report.mistakes_page import mistakes_report

    console = terminal.open("mistakes")
    model = model.for_data(data)
    with console.status(model.status):
        loaded, dataset = open_model_and_data(data, model, boxes=boxes, count=limit, seed=seed)
    with progress_bar(console) as progress:
        task = progress.add_task("predicting", total=None)
        result = run(
            loaded,
            dataset,
            method=method or (announced_method(console, loaded) if maps else None),
            layer=layer,
            maps=maps,
            limit=limit,
            seed=seed,
            out=output,
            source=recorded_source(data, model, boxes, dataset),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print_mistakes(console, result)
    console.add(**_as_json(result))
    written = [output / "predictions.parquet"]
    with console.status("Drawing …"):
        if result.judged:
            write_image(result.matrix, output / "confusion.png")
            written.append(output / "confusion.png")
        if result.errors(1):
            written += result.save(output / "errors.png", top)
        written.append(mistakes_report(result, output / "report.html", errors=top))
    console.print_paths(written)
    return console.finish(exit_code(len(result.rows) - len(result.failures), len(result.failures)))


def _as_json(result: Mistakes) -> dict[str, Any]:
    if not result.judged:
        return {"n_images": 0}
    return {
        "n_images": len(result.judged),
        "accuracy": result.accuracy,
        "top5": result.top5,
        "expected_calibration_error": result.calibration.ece,
        "confusions": result.confusion.pairs(MAX_PAIRS),
    }


def print_mistakes(console: Terminal, result: Mistakes) -> None:
    """Print accuracy and calibration, and the pairs of classes that are confused most often."""
    if result.judged:
        accuracy, top5, calibration = result.accuracy, result.top5, result.calibration
        console.print_line(f"accuracy {_percentage(accuracy)} on {len(result.judged):,} images")
        if top5 is not None:
            console.print_line(f"top-5 accuracy {_percentage(top5)}")
        console.print_line(
            f"expected calibration error {calibration.ece:.1%}; of a calibrated model at most "
            f"{calibration.chance[1]:.1%} in 95 % of samples"
        )
        if calibration.temperature_scaling and not calibration.temperature_scaling.unbounded:
            console.print_line(
                f"temperature scaling: {calibration.temperature_scaling.temperature:.3g} would be best (not applied)"
            )
        if pairs := result.confusion.pairs(MAX_PAIRS):
            table = Table(box=None, pad_edge=False)
            for column in ("true class", "predicted as", "images", "of"):
                table.add_column(column, justify="right" if column in ("images", "of") else "left")
            for pair in pairs:
                table.add_row(escape(pair.label), escape(pair.predicted), str(pair.count), str(pair.total))
            console.print(table)
        for difference in result.contrasts:
            if difference.differs:
                console.print_line(
                    f"{difference.name} of the maps: {difference.right.value:.3g} if the prediction is correct, "
                    f"{difference.wrong.value:.3g} if it is wrong, corrected p {difference.corrected:.2g}"
                )
    if result.unjudged:
        console.print_line(
            f"{len(result.unjudged):,} images without a label that is a class of the model: not counted."
        )
    console.print_failures(result.failures, "the column error of predictions.parquet")


def _percentage(interval: Interval) -> str:
    return f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%})"
