"""Videos as their frames: a folder of images, an animation that Pillow reads, or an array. No codec is needed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from camlucida.data.image_paths import SUFFIXES, expand_path, open_file
from camlucida.data.images import identify, load_image
from camlucida.errors import ImageError
from camlucida.options import Between, checked_arguments, shown

MAX_BYTES = 2 * 2**30
"""Default limit of the memory of all frames as RGB."""


@dataclass(frozen=True, eq=False)
class Video:
    """The frames of a video.

    Attributes:
        frames: The frames, RGB.
        indices: Index of each of them in the video, which may have more.
        name: Name of the file or folder.
    """

    frames: tuple[Image.Image, ...]
    indices: tuple[int, ...]
    name: str = "array"


VideoSource: TypeAlias = str | os.PathLike[str] | NDArray[Any] | Video
"""Anything that `load_video` reads."""


@checked_arguments(ImageError)
def load_video(
    source: VideoSource,
    *,
    n_frames: int | None = None,
    max_bytes: Annotated[int, Between(1, 2**60)] = MAX_BYTES,
) -> Video:
    """Read the frames of a video. Video files are not decoded: extract their frames, for instance with ffmpeg.

    Args:
        source: A folder of images, in the order of the numbers in their names; an animation (GIF, WebP, PNG); an array
            `(t, h, w)` or `(t, h, w, 1 | 3 | 4)` of uint8, uint16 or floats in [0, 1], or the .npy file of one.
        n_frames: Number of frames, at even distances; None for all.
        max_bytes: Largest memory for these frames.

    Raises:
        ImageError: The frames cannot be read, or have different sizes.
    """
    if n_frames is not None and (not isinstance(n_frames, int) or isinstance(n_frames, bool) or n_frames < 1):
        raise ImageError(f"n_frames is a number of frames, at least 1, or None for all, not {shown(n_frames)}.")
    if isinstance(source, Video):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, n_frames, max_bytes, "array")
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"a video is a folder of frames, an animation or an array, not {shown(source)}.")
    path = expand_path(source)
    if os.path.isdir(path):
        return _from_folder(path, n_frames, max_bytes)
    with open_file(path) as stream:
        if path.suffix.lower() == ".npy":
            try:
                array = np.lib.format.open_memmap(path, mode="r")
            except (OSError, ValueError) as error:
                raise ImageError(f"cannot read {path}: the file is damaged ({str(error)[:200]}).") from error
            return _from_array(array, n_frames, max_bytes, path.name)
        return _from_animation(stream, path, n_frames, max_bytes)


def _chosen(total: int, n_frames: int | None) -> tuple[int, ...]:
    """Return the indices of `n_frames` frames at even distances: the middles of as many equal parts."""
    if n_frames is None or n_frames >= total:
        return tuple(range(total))
    return tuple(int((i + 0.5) * total / n_frames) for i in range(n_frames))


def _from_array(array: NDArray[Any], n_frames: int | None, max_bytes: int, name: str) -> Video:
    if array.ndim not in (3, 4) or array.size == 0 or (array.ndim == 4 and array.shape[3] not in (1, 3, 4)):
        raise ImageError(
            f"an array of shape {array.shape} is no video: expected (frames, height, width) or (frames, height, width, "
            "1 or 3 or 4)."
        )
    indices = _chosen(len(array), n_frames)
    _check_size(len(indices), array.shape[2], array.shape[1], max_bytes)
    return Video(tuple(load_image(np.asarray(array[i])) for i in indices), indices, name)


def _from_folder(folder: Path, n_frames: int | None, max_bytes: int) -> Video:
    try:
        files = [entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file()]
    except OSError as error:
        raise ImageError(f"cannot list {folder}: {error.strerror or error}.") from error
    files = sorted((file for file in files if not file.name.startswith(".")), key=lambda file: _natural(file.name))
    if not files:
        raise ImageError(f"no frames in {folder}: expected images such as frame-0001.png.")
    indices = _chosen(len(files), n_frames)
    first = load_image(files[indices[0]])
    _check_size(len(indices), *first.size, max_bytes)
    frames = [first, *(load_image(files[i]) for i in indices[1:])]
    for frame, i in zip(frames, indices, strict=True):
        if frame.size != first.size:
            raise ImageError(
                f"{files[i].name} has {frame.width} × {frame.height} pixels and {files[indices[0]].name} has "
                f"{first.width} × {first.height}: the frames of a video have one size."
            )
    return Video(tuple(frames), indices, folder.name)


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts frame-2 before frame-10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name.lower())]


def _from_animation(stream: Any, path: Path, n_frames: int | None, max_bytes: int) -> Video:
    try:
        with identify(stream) as image:
            total = int(getattr(image, "n_frames", 1))
            if total < 2:
                raise ImageError(f"{path} is one image, not a video. Pass it to explain as an image.")
            indices = _chosen(total, n_frames)
            _check_size(len(indices), *image.size, max_bytes)
            wanted = set(indices)
            frames = [load_image(frame.copy()) for i, frame in enumerate(ImageSequence.Iterator(image)) if i in wanted]
    except ImageError as error:
        raise ImageError(f"cannot read {path}: {error}" if str(path) not in str(error) else str(error)) from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, EOFError ...
        raise ImageError(f"cannot read {path}: the file is damaged ({str(error)[:200]}).") from error
    return Video(tuple(frames), indices, path.name)


def _check_size(n_frames: int, width: int, height: int, max_bytes: int) -> None:
    needed = 4 * n_frames * width * height
    if needed > max_bytes:
        raise ImageError(
            f"{n_frames} frames of {width} × {height} pixels would take {needed / 1e6:,.0f} MB; the limit is "
            f"{max_bytes / 1e6:,.0f} (max_bytes). Use n_frames, or smaller frames."
        )
