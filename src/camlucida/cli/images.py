"""Input files, output names and progress bars of the commands that read images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def input_files(images: Sequence[str], output: Path) -> list[Path]:
    """Return the named images and those in the named folders, without those that an earlier run wrote.

    Args:
        images: Files or folders.
        output: The output folder of the command.

    Raises:
        DataError: If a file or folder does not exist, or a folder contains no image.
    """
    from camlucida.data.image_paths import image_files

    return [file for image in images for file in image_files(image) if not _is_own_output(file, Path(image), output)]


def _is_own_output(file: Path, argument: Path, output: Path) -> bool:
    """Return whether an image that was found in a folder is the output of an earlier run."""
    output_folder, folder = real_path(output), real_path(argument.expanduser())
    return folder.is_dir() and folder in output_folder.parents and output_folder in real_path(file).parents


def real_path(path: Path) -> Path:
    """Return the path with all links followed.

    A link that leads to itself is returned unchanged: `Path.resolve` would raise, and one such link in a folder must
    not stop the run. Opening it raises an `ImageError`.
    """
    return Path(os.path.realpath(path))


def output_stems(files: Sequence[Path], output: Path) -> dict[Path, str]:
    """Return a file name stem for the output of each image: unique, and never overwriting an input image.

    Args:
        files: The input images.
        output: The folder to write to.
    """
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
    """Return a progress bar that is shown on a terminal only and removed when it is complete.

    Args:
        console: The terminal.
        n_inputs: The number of inputs, if known; the bar is hidden for fewer than two.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=n_inputs in (0, 1) or not console.is_terminal)


class ExplanationProgress:
    """A progress bar over several images, and below it one for the forward passes of the current image.

    Pass the method `runs` to `explain` as `progress`.
    """

    def __init__(self, progress: Progress, images: int, method: str) -> None:
        self._progress = progress
        self._images = progress.add_task("explaining", total=images, visible=images > 1)
        self._runs = progress.add_task(escape(method), total=None, visible=False)

    def runs(self, done: int, total: int) -> None:
        """Report that `done` of `total` forward passes for the current image are complete."""
        self._progress.update(self._runs, completed=done, total=total, visible=done < total)

    def advance(self) -> None:
        """Report that one more image is complete."""
        self._progress.update(self._runs, visible=False)
        self._progress.advance(self._images)
