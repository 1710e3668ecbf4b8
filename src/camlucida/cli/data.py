"""The `camlucida data` commands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.examples import epilogue
from camlucida.cli.exit_codes import DONE, IN_PART
from camlucida.cli.images import free_path, real_path
from camlucida.cli.options import DRAWING, Boxes, Limit, Output, Overwrite, Seed, Split, TerminalOptions
from camlucida.cli.progress import progress_bar
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, DataError

if TYPE_CHECKING:
    from PIL import Image

    from camlucida.data.check import DatasetCheck
    from camlucida.data.dataset import Dataset
    from camlucida.data.rules import Finding

data = App(name="data", help="Check a data set before training on it.")

BAR_WIDTH = 28
MAX_CLASSES = 30
"""Maximum number of classes printed in the terminal; data.json lists all of them."""
MAX_FINDINGS = 6
"""Maximum number of findings of one kind printed in the terminal."""
MAX_ROWS = 40
"""Maximum number of classes on the sheet."""
THUMBNAIL_PX = 480
"""Longer side, in pixels, of an image that is kept for the sheet."""


@data.command(help_epilogue=epilogue("data check"))
def check(
    path: str,
    /,
    *,
    split: Split = None,
    boxes: Boxes = None,
    images: Annotated[int, Parameter(group=DRAWING)] = 6,
    seed: Seed = 0,
    limit: Limit = None,
    output: Output = Path("camlucida-out/data"),
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Summarise a data set and report its problems. Every image is opened once.

    Prints classes and findings, writes all of them to data.json and a few images of each class to classes.png. The exit
    code is 1 if there are errors that should be corrected.

    Parameters
    ----------
    path
        A folder of images, whose sub-folders are the classes (below train, val and test, if these exist); a table
        (.csv, .parquet) with columns path, label, split and boxes; or stanford_dogs:…, pets:…, cub:…, voc:…, coco:…,
        imagenet:…, hf:…, tfds:… and the folder; or toybox. A folder may be remote: s3://bucket/photos.
    split
        Check only one split: train, val or test.
    images
        The number of images of each class in classes.png, selected at random; 0 writes no file.
    seed
        The random seed of that selection.
    limit
        The number of scenes that toybox renders. If not given: 500.
    output
        The folder to write to.
    """
    from camlucida.data.check import check_dataset
    from camlucida.data.open import open_dataset

    console = terminal.open("data check")
    dataset = open_dataset(path, boxes=boxes, count=limit, seed=seed, split=split)
    _check_output_outside(path, output)
    with progress_bar(console, len(dataset)) as progress:
        task = progress.add_task("checking images", total=len(dataset))
        report = check_dataset(dataset, progress=lambda done, total: progress.update(task, completed=done, total=total))
    print_report(console, report)
    console.add(**report.summary())
    record = free_path(output / "data.json", overwrite)
    report.save(record)
    console.print_paths([record])
    if images > 0 and (rendered := class_sheet(dataset, report, images, seed)) is not None:
        from camlucida._files import write_image

        sheet = free_path(output / "classes.png", overwrite)
        write_image(lambda: rendered, sheet)
        console.print_paths([sheet])
    return console.finish(IN_PART if report.wrong else DONE)


def _check_output_outside(path: str, output: Path) -> None:
    """Reject an output folder inside the data set, because its files would be read as images by the next run.

    Folders named camlucida-out are accepted: they are never read as data.
    """
    from camlucida.data.location import OUTPUT_FOLDER

    data_folder, output_folder = real_path(Path(path).expanduser()), real_path(output)
    within = data_folder.is_dir() and data_folder in (output_folder, *output_folder.parents)
    if within and OUTPUT_FOLDER not in output_folder.relative_to(data_folder).parts:
        raise DataError(
            f"--output {output} is inside the data set, so that the next check would read it: choose another folder."
        )


def print_report(console: Terminal, report: DatasetCheck) -> None:
    """Print the summary of the data set, then the problems to correct, then other findings."""
    summary = report.summary()
    images, classes = len(report.items), len(report.classes)
    parts = [f"{images:,} image{'s' * (images != 1)}", f"{classes:,} class{'es' * (classes != 1)}"]
    parts += [f"{name} {summary['splits'][name]:,}" for name in report.splits]
    if summary["sizes"]:
        (w0, w1, w2), (h0, h1, h2) = summary["sizes"]["width"], summary["sizes"]["height"]
        parts.append(f"{w0:g} × {h0:g} to {w2:g} × {h2:g} pixels, median {w1:g} × {h1:g}")
        parts.append(", ".join(f"{name} {count:,}" for name, count in summary["formats"].items()))
    console.print(f"[bold]{escape(report.name)}[/] · {escape(' · '.join(parts))}", highlight=False, soft_wrap=True)
    if report.classes:
        console.print(_class_table(report))
    for wrong, title, style in ((True, "Errors", "red"), (False, "Warnings", "yellow")):
        findings = [finding for finding in report.findings if finding.wrong is wrong]
        if findings:
            console.print(f"[bold {style}]{title}[/]", highlight=False)
            _print_findings(console, findings)
    if not report.wrong:
        console.print("[green]No errors found.[/]", highlight=False)


def _class_table(report: DatasetCheck) -> Table:
    """Return a table with one bar per class; with many classes, the most frequent and the rarest ones."""
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column("images", justify="right")
    table.add_column("")
    for name in report.splits:
        table.add_column(name, justify="right", style="dim")
    totals = [count.total() for count in report.counts]
    order = sorted(range(len(totals)), key=lambda label: -totals[label])
    displayed = order if len(order) <= MAX_CLASSES else [*order[: MAX_CLASSES - 6], -1, *order[-5:]]
    for label in displayed:
        if label < 0:
            table.add_row(f"… {len(order) - MAX_CLASSES + 1} more", "", "")
            continue
        bar = "█" * round(BAR_WIDTH * totals[label] / max(1, totals[order[0]])) or ("▏" if totals[label] else "")
        splits = [f"{report.counts[label][name]:,}" for name in report.splits]
        table.add_row(escape(report.classes[label]), f"{totals[label]:,}", bar, *splits)
    return table


def _print_findings(console: Terminal, findings: Sequence[Finding]) -> None:
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.kind].append(finding)
    for kind, group in kinds.items():
        for finding in group[:MAX_FINDINGS]:
            console.print_line(f"  {kind}: {finding.sentence}")
        if len(group) > MAX_FINDINGS:
            console.print_line(f"  … and {len(group) - MAX_FINDINGS:,} more of {kind}, in data.json.")


def class_sheet(dataset: Dataset, report: DatasetCheck, n_images: int, seed: int) -> Image.Image | None:
    """Draw a sheet with one row per class: a few random images of it, with their boxes.

    Args:
        dataset: The data set that was checked.
        report: The result of the check.
        n_images: The maximum number of images per class.
        seed: The random seed of the selection.

    Returns:
        The sheet, or None if no image can be read.
    """
    from camlucida.data.dataset import sample_indices
    from camlucida.render.film_strip import Strip, StripFrame, draw_strips

    members: dict[int, list[int]] = defaultdict(list)
    for number, record in enumerate(report.items):
        if not record.info.error:
            members[-1 if record.label is None else record.label].append(number)
    labels = [label for label in range(len(report.classes)) if members[label]] + ([-1] if members[-1] else [])
    rows = []
    for label in (labels[i] for i in sample_indices(len(labels), min(MAX_ROWS, len(labels)), seed)):
        indices = members[label]
        numbers = [indices[i] for i in sample_indices(len(indices), min(n_images, len(indices)), seed + label + 1)]
        frames = [StripFrame(None, *_caption(report, number), **_image(dataset, number)) for number in numbers]
        name = report.classes[label] if label >= 0 else "no label"
        noun = "image" if len(indices) == 1 else "images"
        rows.append(Strip(name, f"{len(indices):,} {noun}", len(indices) == 1, frames))
    if not rows:
        return None
    selection = f"{len(rows)} of {len(labels)} classes, " if len(rows) < len(labels) else ""
    subtitle = f"{selection}at most {n_images} random images of each, with their bounding boxes"
    return draw_strips(rows, title=report.name, subtitle=subtitle)


def _caption(report: DatasetCheck, number: int) -> tuple[str, str]:
    record = report.items[number]
    width, height = record.info.size
    return record.name.rpartition("/")[2], " · ".join(part for part in (f"{width} × {height}", record.split) if part)


def _image(dataset: Dataset, number: int) -> dict[str, Any]:
    from PIL import Image

    from camlucida.data.images import load_image

    item = dataset[number]
    try:
        full_size = load_image(item.image)
    except CamlucidaError:  # the file was readable during the check
        return {"image": Image.new("RGB", (64, 64), "#e2e3e8")}
    thumbnail = full_size.copy()
    thumbnail.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))  # full-size photographs of all classes would not fit into memory
    boxes = () if item.boxes is None else item.boxes * (thumbnail.width / full_size.width)
    return {"image": thumbnail, "boxes": boxes}
