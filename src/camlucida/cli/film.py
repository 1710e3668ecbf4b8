"""camlucida film"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from camlucida.cli.arguments import TrustCode, split
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.pictures import progress_bar
from camlucida.cli.terminal import Terminal
from camlucida.errors import DataError

if TYPE_CHECKING:
    from camlucida.analysing import Film

PICTURES = 6
FAILURES = 5


def film(
    data: str,
    /,
    *,
    runs: Annotated[list[str], Parameter(name=["--runs", "--models"], negative=())],
    arch: str | None = None,
    trust_code: TrustCode = False,
    method: str = "grad_cam",
    layer: str | None = None,
    target: str = "label",
    boxes: Path | None = None,
    limit: int = PICTURES,
    seed: int = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/film"),
) -> int:
    """The same pictures explained at every checkpoint: when did the model begin to look at the dog?

    Writes film.png, a strip a picture and a frame a checkpoint, and film.csv with every number.

    Parameters
    ----------
    data
        Pictures: a file, a folder, or any data set as of `camlucida evaluate`; its labels and boxes are used.
    runs
        A folder of a training with --keep-epochs, a folder of checkpoints, or several models in their order.
    arch
        What checkpoints hold the weights of, where they do not say it.
    method
        What makes the maps. See `camlucida models`.
    layer
        The layer to explain; the default one if not given.
    target
        label for the true class, or where it is not known the one that the last model says; predicted for what each
        model says; or a class.
    boxes
        A CSV file with a line a box: file, x0, y0, x1, y1 and, if known, label.
    limit
        How many pictures, drawn at random.
    seed
        Of that draw.
    output
        The folder to write to.
    """
    from camlucida.analysing import film as run
    from camlucida.data.datasets import spread, subset
    from camlucida.data.sources import open_dataset

    console = Terminal()
    if limit < 1:
        raise DataError(f"--limit {limit}: it is 1 or more.")
    dataset = open_dataset(data, boxes=boxes, count=limit, seed=seed)
    some = subset(dataset, spread(len(dataset), limit, seed))
    named = split(runs) or []
    with progress_bar(console) as progress:
        task = progress.add_task("filming", total=None)
        found = run(
            named[0] if len(named) == 1 and Path(named[0]).expanduser().is_dir() else named,
            some,
            method=method,
            layer=layer,
            target=target,
            arch=arch,
            trust_code=trust_code,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _show(console, found)
    for path in (*found.save(output / "film.png"), *found.save(output / "film.csv")):
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)
    return exit_code(len(found.pictures), len(found.failures))


def _show(console: Console, found: Film) -> None:
    shares, lifts, chances = (found.shares(number) for number in ("share", "lift", "chance"))
    table = Table(box=None, pad_edge=False)
    table.add_column("checkpoint")
    known = ["probability", *(["map on the object", "times its share"] if shares else [])]
    for column in known:
        table.add_column(column, justify="right")
    for name in found.checkpoints:
        cells = [f"{each[name].value:{how}} {each[name].low:{how}}–{each[name].high:{how}}"
                 for each, how in ((chances, ".2f"), (shares, ".2f"), (lifts, ".2g")) if name in each]  # fmt: skip
        table.add_row(escape(name), *cells)
    console.print(table)
    console.print(
        f"means over {len(found.pictures)} pictures of {found.data}, 95 % intervals: bootstrap over pictures",
        highlight=False,
        markup=False,
    )
    for picture, reason in found.failures[:FAILURES]:
        console.print(f"[red]{escape(picture)}[/]: {escape(reason)}", highlight=False, soft_wrap=True)
