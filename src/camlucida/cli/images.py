"""What the commands that take pictures share: which files, how they are drawn, what they are called afterwards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from camlucida.errors import DataError


def input_files(images: Sequence[str], output: Path) -> list[Path]:
    """The pictures named, and those of the folders named; not those that an earlier run wrote there."""
    from camlucida.data.images import image_files

    return [file for image in images for file in image_files(image) if not _is_own_output(file, Path(image), output)]


def _is_own_output(file: Path, argument: Path, output: Path) -> bool:
    """Whether a picture found in a folder is what an earlier run wrote there."""
    output_folder, folder = real_path(output), real_path(argument.expanduser())
    return folder.is_dir() and folder in output_folder.parents and output_folder in real_path(file).parents


def real_path(path: Path) -> Path:
    """Return the path with all links followed.

    A link that leads to itself is returned as it is: `Path.resolve` would raise, and one such link in a folder must
    not stop the run. Whoever opens it gets an `ImageError`.
    """
    return Path(os.path.realpath(path))


def output_stems(files: Sequence[Path], output: Path) -> dict[Path, str]:
    """A name for the output of each picture: no two alike, and none that would write over a picture."""
    input_paths = {real_path(file) for file in files}
    n_files = Counter(file.stem.lower() for file in files)
    stems: dict[Path, str] = {}
    used = {stem for stem, n in n_files.items() if n == 1}
    for number, file in enumerate(files):
        if file in stems:
            continue
        stem = file.stem if n_files[file.stem.lower()] == 1 else f"{file.stem}-{number}"
        while (stem != file.stem and stem.lower() in used) or real_path(output / f"{stem}.png") in input_paths:
            stem += "-explained"
        used.add(stem.lower())
        stems[file] = stem
    return stems


def progress_bar(console: Console, n_inputs: int | None = None) -> Progress:
    """Shown on a terminal only, where a `count` is said for more than one picture only; gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=n_inputs in (0, 1) or not console.is_terminal)


class ExplanationProgress:
    """A bar for the pictures where there are several, and under it one for a picture that takes many runs.

    runs      what to hand to `explain` as `progress`
    """

    def __init__(self, progress: Progress, images: int, method: str) -> None:
        self._progress = progress
        self._pictures = progress.add_task("explaining", total=images, visible=images > 1)
        self._runs = progress.add_task(escape(method), total=None, visible=False)

    def runs(self, done: int, total: int) -> None:
        """Of the picture in work, `done` of `total` runs of the network are done."""
        self._progress.update(self._runs, completed=done, total=total, visible=done < total)

    def advance(self) -> None:
        """One more picture is done."""
        self._progress.update(self._runs, visible=False)
        self._progress.advance(self._pictures)


def overlay_style(opacity: float, colormap: str | None, blend: str) -> dict[str, Any]:
    """How to draw, checked before anything is computed."""
    from camlucida.render.colours import check_colormap

    if not 0 <= opacity <= 1:
        raise DataError(f"--opacity {opacity:g} is not between 0 and 1.")
    if blend not in ("heat", "uniform"):
        raise DataError(f"--blend {blend}: it is heat or uniform.")
    return {"opacity": opacity, "blend": blend} | ({"colormap": check_colormap(colormap)} if colormap else {})
