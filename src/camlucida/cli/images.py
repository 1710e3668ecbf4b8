"""Input files, output names and progress bars of the commands that read images."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from camlucida._files import IMAGES, written_suffixes
from camlucida.errors import DataError, ImageError

STDIN = "/dev/stdin"
"""The argument that stands for a list of paths on standard input; `main` puts it in place of "-"."""

NOT_WRITTEN = frozenset(
    (".avif", ".bmp", ".eps", ".gif", ".heic", ".htm", ".html", ".jfif", ".jp2", ".jxl", ".npy", ".npz", ".pdf", ".ppm",
     ".ps", ".svg", ".tga")
)  # fmt: skip
"""Suffixes of files that an --output cannot have, unless a command says so: it would become the name of a folder."""


def input_files(images: Sequence[str], output: Path, *, volumes: bool = False) -> list[Path]:
    """Return the named images and those in the named folders, without those that an earlier run wrote.

    Args:
        images: Files or folders.
        output: The output folder of the command.
        volumes: Whether the command explains volumes: a folder of DICOM files is one volume, and of other folders the
            NIfTI files are used, if there are any.

    Raises:
        DataError: If a file or folder does not exist, or a folder contains no image.
    """
    from camlucida.data.image_paths import image_files

    def files_of(image: str) -> list[Path]:
        return (volumes and volume_files(image)) or image_files(image)

    return [
        file
        for image in _arguments(images)
        for file in files_of(image)
        if not _is_own_output(file, Path(image), output)
    ]


def volume_files(path: str) -> list[Path]:
    """Return a folder of DICOM files as one volume, or the NIfTI files of a folder; empty for anything else."""
    from camlucida.data.volumes import NIFTI_SUFFIXES, is_volume_path

    folder = Path(path).expanduser()
    if not folder.is_dir():
        return []
    if is_volume_path(folder):
        return [folder]
    return sorted(file for file in folder.iterdir() if file.name.lower().endswith(NIFTI_SUFFIXES))


def stem_of(file: Path) -> str:
    """Return the name of a file without its suffix: "scan" for scan.nii.gz."""
    return file.name[: -len(".nii.gz")] if file.name.lower().endswith(".nii.gz") else file.stem


def _arguments(images: Sequence[str]) -> Iterator[str]:
    """Yield the arguments with globs expanded, and the paths on standard input in place of `STDIN`.

    An existing file whose name looks like a glob is that file. Paths on standard input are separated by line feeds, or
    by null characters as `find -print0` writes them; they are never globs.
    """
    for image in images:
        if image == STDIN:
            yield from _paths_on_stdin()
        elif any(character in image for character in "*?[") and not os.path.lexists(os.path.expanduser(image)):
            matches = sorted(glob.glob(os.path.expanduser(image), recursive=True))
            if not matches:
                raise ImageError(f"no file matches {image!r}.")
            yield from matches
        else:
            yield image


def _paths_on_stdin() -> list[str]:
    data = sys.stdin.buffer.read()
    separator = b"\0" if b"\0" in data else b"\n"
    paths = [os.fsdecode(line.removesuffix(b"\r")) for line in data.split(separator) if line.strip()]
    if not paths:
        raise DataError("standard input is empty: - expects the paths of images there, one per line.")
    return paths


def split_output(
    output: Path, inputs: Sequence[Path], *, is_joint: bool = False, also: Sequence[str] = ()
) -> tuple[Path, str | None]:
    """Return the folder to write to, and the name of the file if the output is one, such as x.png.

    Args:
        output: What was given as --output: a folder, or a file with the suffix of an image format.
        inputs: The input images.
        is_joint: Whether one file holds the output of all inputs.
        also: Further suffixes of files that the command writes.

    Raises:
        DataError: If one file is to hold the outputs of several inputs, is one of them, or has a suffix of another
            format.
    """
    suffix = output.suffix.lower()
    if suffix in NOT_WRITTEN - set(also) and not output.is_dir():
        raise DataError(
            f"--output {output} cannot be written: give a file with {written_suffixes(also)}, or a folder, whose name "
            f"does not end in {suffix}."
        )
    if suffix not in (*IMAGES, *also) or output.is_dir():
        return output, None
    if len(inputs) > 1 and not is_joint:
        raise DataError(f"--output {output} is one file, but there are {len(inputs)} images: give a folder.")
    if real_path(output) in {real_path(file) for file in inputs}:
        raise DataError(f"--output {output} is an input image: choose another name.")
    return output.parent, output.name


def free_stem(stem: str, folder: Path, endings: Sequence[str], *, overwrite: bool = False) -> str:
    """Return a stem whose files do not exist: the given one, or with the next free number; as in `output_stems`."""
    taken, base, count = set() if overwrite else _names(folder), stem, 1
    while _is_taken(stem, endings, taken):
        count += 1
        stem = f"{base}-{count}"
    return stem


def free_path(path: Path, overwrite: bool) -> Path:
    """Return a path that does not exist: the given one, or with the next free number, as in photo-2.png.

    Args:
        path: The file.
        overwrite: Whether to return the given path even if it exists. Devices and pipes are always returned.
    """
    if overwrite or not os.path.lexists(path) or (path.exists() and not path.is_file() and not path.is_dir()):
        return path
    number = 2
    while os.path.lexists(numbered := path.with_name(f"{path.stem}-{number}{path.suffix}")):
        number += 1
    return numbered


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


def output_stems(
    files: Sequence[Path], output: Path, endings: Sequence[str] = (".png",), *, overwrite: bool = False
) -> dict[Path, str]:
    """Return a file name stem for the output of each image: unique, and never overwriting an input image.

    Args:
        files: The input images.
        output: The folder to write to.
        endings: What the command may append to a stem, such as "-trust.png"; "/" for a folder and "." for any suffix.
        overwrite: Whether files of earlier runs may be replaced. Otherwise a stem whose files exist gets a number.
    """
    input_paths = {real_path(file) for file in files}
    n_files = Counter(stem_of(file).lower() for file in files)
    stems: dict[Path, str] = {}
    used = {stem for stem, n in n_files.items() if n == 1}
    taken = set() if overwrite else _names(output)
    for number, file in enumerate(files):
        if file in stems:
            continue
        stem = own = stem_of(file)
        if n_files[own.lower()] > 1:
            stem = f"{own}-{number}"
        while (stem != own and stem.lower() in used) or real_path(output / f"{stem}.png") in input_paths:
            stem += "-explained"
        base, count = stem, 1
        while _is_taken(stem, endings, taken) or (count > 1 and stem.lower() in used):
            count += 1
            stem = f"{base}-{count}"
        used.add(stem.lower())
        stems[file] = stem
    return stems


def _names(folder: Path) -> set[str]:
    """Return the names in a folder, in lower case since some disks ignore it; empty if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name.lower() for entry in entries}
    except OSError:
        return set()


def _is_taken(stem: str, endings: Sequence[str], taken: set[str]) -> bool:
    stem = stem.lower()
    return any(
        any(name.startswith(f"{stem}.") for name in taken) if ending == "." else f"{stem}{ending}".rstrip("/") in taken
        for ending in endings
    )
