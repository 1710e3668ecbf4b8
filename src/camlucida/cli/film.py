"""The `camlucida film` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import progress_bar
from camlucida.cli.lists import TrustCode, split_list
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.analysis import Film

IMAGES = 6
MAX_FAILURES = 5


def film(
    data: str,
    /,
    *,
    checkpoints: Annotated[list[str], Parameter(name=["--checkpoints", "--models"], negative=())],
    arch: str | None = None,
    trust_code: TrustCode = False,
    method: str = "grad_cam",
    layer: str | None = None,
    target: str = "label",
    boxes: Path | None = None,
    limit: int = IMAGES,
    seed: int = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/film"),
) -> int:
    """Explain the same images at every checkpoint of a training, to see how the maps change during training.

    Writes film.png, with one strip per image and one frame per checkpoint, and film.csv with all numbers.

    Parameters
    ----------
    data
        Images: a file, a folder, or any data set as for `camlucida evaluate`; its labels and boxes are used.
    checkpoints
        A training folder written with --keep-epochs, a folder of checkpoints, or several models in their order.
    arch
        The architecture of the checkpoints, if they do not record it.
    method
        The explanation method. See `camlucida models`.
    layer
        The layer to explain; the default layer if not given.
    target
        label for the true class, or the class predicted by the last model if there is no label; predicted for the class
        that each model predicts; or a class.
    boxes
        A CSV file with one line per box: file, x0, y0, x1, y1 and, if known, label.
    limit
        The number of images, selected at random.
    seed
        The random seed of the selection.
    output
        The folder to write to.
    """
    from camlucida.analysis import film as run
    from camlucida.data.datasets import sample_indices, subset
    from camlucida.data.open import open_dataset

    console = Terminal()
    if limit < 1:
        raise DataError(f"--limit {limit}: it is 1 or more.")
    dataset = open_dataset(data, boxes=boxes, count=limit, seed=seed)
    selected = subset(dataset, sample_indices(len(dataset), limit, seed))
    names = split_list(checkpoints) or []
    with progress_bar(console) as progress:
        task = progress.add_task("filming", total=None)
        result = run(
            names[0] if len(names) == 1 and Path(names[0]).expanduser().is_dir() else names,
            selected,
            method=method,
            layer=layer,
            target=target,
            arch=arch,
            trust_code=trust_code,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _print_film(console, result)
    for path in (*result.save(output / "film.png"), *result.save(output / "film.csv")):
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)
    return exit_code(len(result.images), len(result.failures))


def _print_film(console: Console, result: Film) -> None:
    shares, lifts, chances = (result.shares(number) for number in ("share", "lift", "chance"))
    table = Table(box=None, pad_edge=False)
    table.add_column("checkpoint")
    columns = ["probability", *(["map on the object", "times its share"] if shares else [])]
    for column in columns:
        table.add_column(column, justify="right")
    for name in result.checkpoints:
        cells = [f"{each[name].value:{how}} {each[name].low:{how}}–{each[name].high:{how}}"
                 for each, how in ((chances, ".2f"), (shares, ".2f"), (lifts, ".2g")) if name in each]  # fmt: skip
        table.add_row(escape(name), *cells)
    console.print(table)
    console.print(
        f"means over {len(result.images)} pictures of {result.data}, 95 % intervals: bootstrap over pictures",
        highlight=False,
        markup=False,
    )
    for image, reason in result.failures[:MAX_FAILURES]:
        console.print(f"[red]{escape(image)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
