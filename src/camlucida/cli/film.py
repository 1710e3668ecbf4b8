"""The `camlucida film` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import free_path, split_output
from camlucida.cli.option_values import preprocessing_options, split_list
from camlucida.cli.options import (
    DATA,
    EXPLANATION,
    MODEL,
    Arch,
    Boxes,
    Device,
    Fit,
    Layer,
    MethodName,
    Output,
    Overwrite,
    Probabilities,
    Seed,
    Size,
    TaskOption,
    TerminalOptions,
    TrustCode,
)
from camlucida.cli.progress import progress_bar
from camlucida.cli.terminal import Terminal, interval_text
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.analysis import Film


NUMBERS = {"share": "share", "lift": "lift", "probability": "chance"}
"""The means over the images, by the name that is printed as JSON."""


def film(
    data: str,
    /,
    *,
    checkpoints: Annotated[list[str], Parameter(negative=(), group=MODEL)],
    arch: Arch = None,
    trust_code: TrustCode = False,
    task: TaskOption = None,
    probabilities: Probabilities = None,
    device: Device = "auto",
    size: Size = None,
    fit: Fit = None,
    method: MethodName = "grad_cam",
    layer: Layer = None,
    target: Annotated[str, Parameter(group=EXPLANATION)] = "true",
    boxes: Boxes = None,
    limit: Annotated[int, Parameter(group=DATA)] = 6,
    seed: Seed = 0,
    output: Output = Path("camlucida-out/film"),
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Explain the same images at every checkpoint of a training run, to see how the maps change during training.

    Writes film.png, with one strip per image and one frame per checkpoint, and film.csv with all numbers.

    Parameters
    ----------
    data
        Images: a file, a folder, or any data set as for `camlucida evaluate`; its labels and boxes are used.
    checkpoints
        The folder of a training run with --keep-epochs, a folder of checkpoints, or several models in order, separated
        by commas.
    method
        The explanation method. See `camlucida models`.
    layer
        The layer to explain (target_layers in pytorch-grad-cam). If not given: the default layer.
    target
        The class to explain: true for the label of the image (the class that the last checkpoint predicts if there is
        no label), predicted for the class that each checkpoint predicts, or the name or index of a class.
    limit
        The number of images, selected at random.
    seed
        The random seed of the selection.
    output
        The folder to write to, or the file of the strips, such as film.png.
    """
    from camlucida.analysis import film as run
    from camlucida.data.datasets import sample_indices, subset
    from camlucida.data.open import open_dataset

    console = terminal.open("film")
    output, file_name = split_output(output, [Path(data)], is_joint=True)
    if limit < 1:
        raise DataError(f"--limit {limit}: at least 1 is needed.")
    dataset = open_dataset(data, boxes=boxes, count=limit, seed=seed)
    selected = subset(dataset, sample_indices(len(dataset), limit, seed))
    names = split_list(checkpoints) or []
    with progress_bar(console) as progress:
        bar = progress.add_task("explaining checkpoints", total=None)
        result = run(
            names[0] if len(names) == 1 and Path(names[0]).expanduser().is_dir() else names,
            selected,
            method=method,
            layer=layer,
            target=target,
            arch=arch,
            trust_code=trust_code,
            task=task,
            probabilities=probabilities,
            device=device,
            **preprocessing_options(size, fit),
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    _print_film(console, result)
    console.add(
        checkpoints=result.checkpoints,
        n_images=len(result.images),
        **{name: result.shares(number) for name, number in NUMBERS.items()},
    )
    strips = free_path(output / (file_name or "film.png"), overwrite)
    table = free_path(strips.with_suffix(".csv"), overwrite)
    console.print_paths([*result.save(strips), *result.save(table)])
    return console.finish(exit_code(len(result.images), len(result.failures)))


def _print_film(console: Terminal, result: Film) -> None:
    shares, lifts, probabilities = (result.shares(number) for number in ("share", "lift", "chance"))
    table = Table(box=None, pad_edge=False)
    table.add_column("checkpoint")
    for column in ["probability", *(["map inside the object", "relative to its area"] if shares else [])]:
        table.add_column(column, justify="right")
    columns = ((probabilities, ".2f"), (shares, ".2f"), (lifts, ".2g"))
    for name in result.checkpoints:
        intervals = [(values[name], digits) for values, digits in columns if name in values]
        cells = [interval_text(i, digits) for i, digits in intervals]
        table.add_row(escape(name), *cells)
    console.print(table)
    console.print_line(
        f"means over {len(result.images)} images of {result.data}, 95 % intervals: bootstrap over images"
    )
    console.print_failures(result.failures, "film.csv")
