"""camlucida data"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from camlucida.cli.exit_codes import DONE, IN_PART
from camlucida.cli.pictures import progress_bar, real_path
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, DataError

if TYPE_CHECKING:
    from PIL import Image

    from camlucida.data.checking import Check
    from camlucida.data.findings import Finding
    from camlucida.data.items import DataSet

data = App(name="data", help="Look at a data set before it is trained on.")

BAR = 28
LISTED = 30
"""Classes in the terminal; more stand in data.json."""
TOLD = 6
"""Findings of one kind in the terminal."""
ROWS = 40
"""Classes on the sheet."""
SIDE = 480
"""Pixels of a picture that is kept for the sheet."""


@data.command
def check(
    path: str,
    /,
    *,
    split: str | None = None,
    boxes: Path | None = None,
    pictures: int = 6,
    seed: int = 0,
    limit: int | None = None,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/data"),
) -> int:
    """What is in a data set, and what is wrong with it: every picture is opened once.

    Prints classes and findings, writes all of it to data.json and a few pictures of each class to classes.png. Exit
    code 1 where something should be mended.

    Parameters
    ----------
    path
        A folder of pictures, whose sub-folders are the classes (under train, val and test, if there are such); a table
        (.csv, .parquet) with columns path, label, split and boxes; or stanford_dogs:…, pets:…, cub:…, voc:…, coco:…,
        imagenet:…, hf:…, tfds:… and the folder; or toybox. A folder may be an address: s3://bucket/photos.
    split
        Only one split: train, val or test.
    boxes
        For a folder: a CSV file with a line a box: file, x0, y0, x1, y1 and, if known, label.
    pictures
        How many pictures of each class are drawn on the sheet; 0 for no sheet.
    seed
        Of which ones.
    limit
        How many pictures of toybox are drawn.
    output
        The folder to write to.
    """
    from camlucida.data.checking import check as look_through
    from camlucida.data.sources import open_dataset

    console = Terminal()
    dataset = open_dataset(path, boxes=boxes, count=limit, seed=seed, split=split)
    _not_inside(path, output)
    with progress_bar(console, len(dataset)) as progress:
        task = progress.add_task("looking", total=len(dataset))
        found = look_through(dataset, progress=lambda done, total: progress.update(task, completed=done, total=total))
    show(console, found)
    found.save(output / "data.json")
    console.print(f"→ {output / 'data.json'}", highlight=False, markup=False, soft_wrap=True)
    if pictures > 0 and (drawn := sheet(dataset, found, pictures, seed)) is not None:
        from camlucida._files import write_picture

        write_picture(lambda: drawn, output / "classes.png")
        console.print(f"→ {output / 'classes.png'}", highlight=False, markup=False, soft_wrap=True)
    return IN_PART if found.wrong else DONE


def _not_inside(path: str, output: Path) -> None:
    """What is written must not become part of what is read the next time; folders camlucida-out never do."""
    from camlucida.data.places import OURS

    given, inner = real_path(Path(path).expanduser()), real_path(output)
    within = given.is_dir() and given in (inner, *inner.parents)
    if within and OURS not in inner.relative_to(given).parts:
        raise DataError(f"{output} lies in the data set: choose a folder outside of it with --output.")


def show(console: Console, found: Check) -> None:
    """What is in it, then what is wrong with it, then what is good to know."""
    summary = found.summary()
    pictures, classes = len(found.seen), len(found.classes)
    parts = [f"{pictures:,} picture{'s' * (pictures != 1)}", f"{classes:,} class{'es' * (classes != 1)}"]
    parts += [f"{name} {summary['splits'][name]:,}" for name in found.splits]
    if summary["sizes"]:
        (w0, w1, w2), (h0, h1, h2) = summary["sizes"]["width"], summary["sizes"]["height"]
        parts.append(f"{w0:g} × {h0:g} to {w2:g} × {h2:g} pixels, median {w1:g} × {h1:g}")
        parts.append(", ".join(f"{name} {count:,}" for name, count in summary["formats"].items()))
    console.print(f"[bold]{escape(found.name)}[/] · {escape(' · '.join(parts))}", highlight=False, soft_wrap=True)
    if found.classes:
        console.print(_classes(found))
    for wrong, title, style in ((True, "To be mended", "red"), (False, "Good to know", "yellow")):
        told = [finding for finding in found.findings if finding.wrong is wrong]
        if told:
            console.print(f"[bold {style}]{title}[/]", highlight=False)
            _tell(console, told)
    if not found.wrong:
        console.print("[green]Nothing is wrong with it.[/]", highlight=False)


def _classes(found: Check) -> Table:
    """A bar a class: the most frequent ones and the rarest, where there are many."""
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column("pictures", justify="right")
    table.add_column("")
    for name in found.splits:
        table.add_column(name, justify="right", style="dim")
    totals = [count.total() for count in found.counts]
    order = sorted(range(len(totals)), key=lambda label: -totals[label])
    shown = order if len(order) <= LISTED else [*order[: LISTED - 6], -1, *order[-5:]]
    for label in shown:
        if label < 0:
            table.add_row(f"… {len(order) - LISTED + 1} more", "", "")
            continue
        bar = "█" * round(BAR * totals[label] / max(1, totals[order[0]])) or ("▏" if totals[label] else "")
        splits = [f"{found.counts[label][name]:,}" for name in found.splits]
        table.add_row(escape(found.classes[label]), f"{totals[label]:,}", bar, *splits)
    return table


def _tell(console: Console, findings: Sequence[Finding]) -> None:
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.kind].append(finding)
    for kind, group in kinds.items():
        for finding in group[:TOLD]:
            console.print(f"  {kind}: {finding.sentence}", highlight=False, markup=False, soft_wrap=True)
        if len(group) > TOLD:
            console.print(f"  … and {len(group) - TOLD:,} more of {kind}, in data.json.", highlight=False)


def sheet(dataset: DataSet, found: Check, count: int, seed: int) -> Image.Image | None:
    """A row a class with a few of its pictures, drawn by lot, with their boxes; None where none can be read."""
    from camlucida.data.items import spread
    from camlucida.render.strips import Frame, Strip, strips

    members: dict[int, list[int]] = defaultdict(list)
    for number, one in enumerate(found.seen):
        if not one.look.error:
            members[-1 if one.label is None else one.label].append(number)
    labels = [label for label in range(len(found.classes)) if members[label]] + ([-1] if members[-1] else [])
    rows = []
    for label in (labels[i] for i in spread(len(labels), min(ROWS, len(labels)), seed)):
        inside = members[label]
        numbers = [inside[i] for i in spread(len(inside), min(count, len(inside)), seed + label + 1)]
        frames = [Frame(None, *_named(found, number), **_picture(dataset, number)) for number in numbers]
        name = found.classes[label] if label >= 0 else "no label"
        few = "picture" if len(inside) == 1 else "pictures"
        rows.append(Strip(name, f"{len(inside):,} {few}", len(inside) == 1, frames))
    if not rows:
        return None
    of = f"{len(rows)} of {len(labels)} classes, " if len(rows) < len(labels) else ""
    subtitle = f"{of}up to {count} pictures of each, drawn by lot, with the boxes that are known"
    return strips(rows, title=found.name, subtitle=subtitle)


def _named(found: Check, number: int) -> tuple[str, str]:
    one = found.seen[number]
    width, height = one.look.size
    return one.name.rpartition("/")[2], " · ".join(part for part in (f"{width} × {height}", one.split) if part)


def _picture(dataset: DataSet, number: int) -> dict[str, Any]:
    from PIL import Image

    from camlucida.data.images import load_image

    item = dataset[number]
    try:
        whole = load_image(item.image)
    except CamlucidaError:  # it was readable a moment ago
        return {"picture": Image.new("RGB", (64, 64), "#e2e3e8")}
    small = whole.copy()
    small.thumbnail((SIDE, SIDE))  # or forty classes of large photographs would fill the memory
    boxes = () if item.boxes is None else item.boxes * (small.width / whole.width)
    return {"picture": small, "boxes": boxes}
