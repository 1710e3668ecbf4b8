"""The `camlucida mistakes` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from camlucida.cli.evaluate import run_source
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import progress_bar
from camlucida.cli.lists import TrustCode
from camlucida.cli.model_and_data import is_training_folder, open_model_and_data
from camlucida.cli.terminal import Terminal

if TYPE_CHECKING:
    from camlucida.analysis import Mistakes

MAX_PAIRS, MAX_FAILURES = 8, 5


def mistakes(
    data: str,
    /,
    *,
    model: str | None = None,
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    method: str = "grad_cam",
    layer: str | None = None,
    maps: bool = True,
    boxes: Path | None = None,
    limit: int | None = None,
    top: Annotated[int, Parameter(name=["--top", "-n"])] = 12,
    seed: int = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/mistakes"),
) -> int:
    """Analyse a model's errors: the confusion matrix, the calibration, and the maps of wrong predictions.

    Writes predictions.parquet (one row per image), confusion.png, errors.png and report.html. An interrupted run
    resumes when it is started again; an image that cannot be read becomes a row with the reason.

    Parameters
    ----------
    data
        A data set with labels, as for `camlucida evaluate`: a folder whose sub-folders are the classes, toybox, …
    model
        A name (resnet50, timm:…, toybox), a checkpoint, a training folder, or python:module:function. If not given, the
        model of the training folder, or toybox.
    arch
        The architecture that a checkpoint holds the weights of.
    labels
        A text file with one class name per line.
    method
        The explanation method. See `camlucida models`.
    layer
        The layer to explain; the default layer if not given.
    maps
        Also measure the map of every image, and compare correct with wrong predictions.
    boxes
        A CSV file with one line per box: file, x0, y0, x1, y1 and, if known, label.
    limit
        The number of images, selected at random; all if not given (500 of toybox).
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

    console = Terminal()
    model = model or (data if is_training_folder(data) else "toybox")
    with console.status(f"Loading {escape(model)} …"):
        loaded, dataset = open_model_and_data(
            data, model, arch=arch, trust_code=trust_code, labels=labels, boxes=boxes, count=limit, seed=seed
        )
    with progress_bar(console) as progress:
        task = progress.add_task("looking", total=None)
        result = run(
            loaded,
            dataset,
            method=method,
            layer=layer,
            maps=maps,
            limit=limit,
            seed=seed,
            out=output,
            source=run_source(data, model, arch, labels, boxes, dataset),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print_mistakes(console, result)
    written = [output / "predictions.parquet"]
    with console.status("Drawing …"):
        if result.judged:
            write_image(result.matrix, output / "confusion.png")
            written.append(output / "confusion.png")
        if result.errors(1):
            written += result.save(output / "errors.png", top)
        written.append(mistakes_report(result, output / "report.html", errors=top))
    for path in written:
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)
    return exit_code(len(result.rows) - len(result.failures), len(result.failures))


def print_mistakes(console: Console, result: Mistakes) -> None:
    """Print accuracy and calibration, and the pairs of classes that are confused most often."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    if result.judged:
        accuracy, top5, calibration = result.accuracy, result.top5, result.calibration
        say(
            f"right {accuracy.value:.1%} ({accuracy.low:.1%} to {accuracy.high:.1%}) of {len(result.judged):,} pictures"
        )
        say(f"among the five likeliest {top5.value:.1%} ({top5.low:.1%} to {top5.high:.1%})")
        say(f"calibration error {calibration.ece:.1%}; by chance alone up to {calibration.chance[1]:.1%}")
        if calibration.temperature_scaling and not calibration.temperature_scaling.unbounded:
            say(f"temperature that would help: {calibration.temperature_scaling.temperature:.3g} (not applied)")
        if pairs := result.confusion.pairs(MAX_PAIRS):
            table = Table(box=None, pad_edge=False)
            for column in ("true", "taken for", "pictures", "of"):
                table.add_column(column, justify="right" if column in ("pictures", "of") else "left")
            for pair in pairs:
                table.add_row(escape(pair.truth), escape(pair.said), str(pair.count), str(pair.total))
            console.print(table)
        for difference in result.contrasts:
            if difference.differs:
                say(
                    f"{difference.name} of maps: right {difference.right.value:.3g}, wrong "
                    f"{difference.wrong.value:.3g}, p corrected "
                    f"{difference.corrected:.2g}"
                )
    if result.unjudged:
        say(f"{len(result.unjudged):,} pictures have no label that is a class of the model: not judged.")
    for image, reason in result.failures[:MAX_FAILURES]:
        console.print(f"[red]{escape(image)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
    if len(result.failures) > MAX_FAILURES:
        say(f"… and {len(result.failures) - MAX_FAILURES} more, in the column error.")
