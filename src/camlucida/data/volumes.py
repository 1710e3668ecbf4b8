"""Volumes: NIfTI files, DICOM series and arrays, brought to one orientation, with their position in space kept.

Nothing in a file is executed, and its size is checked before voxels are decoded.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from camlucida._files import atomic_write
from camlucida._optional import need
from camlucida.data.dicom import is_dicom, read_series
from camlucida.data.image_paths import expand_path, open_file
from camlucida.errors import CamlucidaError, ImageError, OutputError
from camlucida.options import Between, checked_arguments, shown

MAX_BYTES = 2 * 2**30
"""Default limit of the memory of the voxels in float32."""

NIFTI_SUFFIXES = (".nii", ".nii.gz")
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, ".dcm", ".dicom")
"""Suffixes of files that are always volumes."""

AXES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
"""The axis of a volume in RAS order that a letter names, and its direction."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels, with their position in space.

    Attributes:
        voxels: `(c, x, y, z)` from left to right, back to front and feet to head ("RAS"), float32, in the units of the
            file. Without an affine matrix `(c, depth, height, width)`, as the array was given.
        affine: The matrix `(4, 4)` from voxel indices of `voxels` to mm in RAS; None for an array.
        file_axes: Orientation of the axes of the file, such as "LPS"; "" without an affine matrix.
        file_affine: The affine matrix of the file.
        name: Name of the file.
        note: What the file does not say about its position, as a sentence; "" if it says all.
    """

    voxels: NDArray[np.float32]
    affine: NDArray[np.float64] | None = None
    file_axes: str = ""
    file_affine: NDArray[np.float64] | None = None
    name: str = "array"
    note: str = ""

    def oriented(self, orientation: str) -> NDArray[np.float32]:
        """Return the voxels `(c, *grid)` with axes that point where the letters say; an array is returned as it is."""
        return self.voxels if self.affine is None else _turn(self.voxels, orientation)

    def voxel_mm(self, orientation: str) -> tuple[float, float, float] | None:
        """Return the edge lengths of a voxel in mm, along the axes of `oriented`; None for an array."""
        if self.affine is None:
            return None
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        first, second, third = (float(lengths[AXES[letter][0]]) for letter in orientation)
        return first, second, third

    def to_file_axes(self, grid: NDArray[Any], orientation: str) -> NDArray[np.float32]:
        """Return an array on the grid of `oriented`, such as a map, with the axes of the file."""
        if self.affine is None:
            return grid.astype(np.float32)
        order = [AXES[letter][0] for letter in orientation]
        ras: NDArray[np.float32] = np.empty([grid.shape[order.index(axis)] for axis in range(3)], dtype=np.float32)
        _turn(ras[None], orientation)[0][...] = grid  # a view of the array in RAS order
        return np.ascontiguousarray(_turn(ras[None], self.file_axes)[0])


def _turn(voxels: NDArray[np.float32], orientation: str) -> NDArray[np.float32]:
    """Return a view of voxels `(c, x, y, z)` in RAS order with axes that point where the letters say."""
    turned = voxels.transpose(0, *(1 + AXES[letter][0] for letter in orientation))
    flips = tuple(slice(None, None, AXES[letter][1]) for letter in orientation)
    view: NDArray[np.float32] = turned[(slice(None), *flips)]
    return view


VolumeSource: TypeAlias = str | os.PathLike[str] | NDArray[Any] | Volume
"""Anything that `load_volume` reads; several files are several channels."""


def is_volume_path(path: Any) -> bool:
    """Return whether a path is a NIfTI or DICOM file by its name, or a folder that contains a DICOM file."""
    if not isinstance(path, str | os.PathLike):
        return False
    name = os.fspath(path).lower()
    return name.endswith(VOLUME_SUFFIXES) or (os.path.isdir(path) and is_dicom(Path(path)))


@checked_arguments(ImageError)
def load_volume(
    source: VolumeSource | Sequence[VolumeSource], *, max_bytes: Annotated[int, Between(1, 2**60)] = MAX_BYTES
) -> Volume:
    """Read a volume.

    Args:
        source: One of the following, or a list of them, which become channels.

            - A NIfTI file (.nii, .nii.gz). Its scale and offset are applied, and its axes brought to RAS.
            - A DICOM file with several frames, or a folder with one series. Slices are sorted by their position;
              their rescaling (to HU, for instance) is applied.
            - An array `(depth, height, width)` or `(c, depth, height, width)`, or the .npy file of one.
        max_bytes: Largest memory for the voxels in float32; larger volumes are not decoded.

    Raises:
        ImageError: The volume cannot be read, for any reason.
        MissingExtra: nibabel or pydicom is not installed: they are in the extra `medical`.
    """
    if isinstance(source, list | tuple):
        return _stacked([load_volume(part, max_bytes=max_bytes) for part in source])
    if isinstance(source, Volume):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source, max_bytes, "array")
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"a volume is a NIfTI file, a DICOM file or folder, or an array, not {shown(source)}.")
    path = expand_path(source)
    try:
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            open_file(path).close()  # raises for a missing file, a folder or a pipe
            return _read_nifti(path, max_bytes)
        if path.name.lower().endswith(".npy"):
            with open_file(path) as stream:
                array = np.lib.format.open_memmap(stream.name, mode="r")
            return _from_array(array, max_bytes, path.name)
        if path.is_dir() or is_dicom(path):
            voxels, affine = read_series(path, max_bytes)
            return _positioned(voxels, affine, path.name)
        open_file(path).close()
    except CamlucidaError as error:
        raise type(error)(f"cannot read {path}: {error}" if str(path) not in str(error) else str(error)) from error
    except (OSError, ValueError, EOFError, zlib.error, OverflowError, MemoryError) as error:
        raise ImageError(f"cannot read {path}: the file is damaged ({_first_line(error)}).") from error
    raise ImageError(f"{path} is no volume: expected .nii, .nii.gz, .npy, or DICOM.")


def save_nifti(path: Path, grid: NDArray[Any], volume: Volume, orientation: str) -> None:
    """Write an array on the grid of a volume, such as a map, in the grid and with the affine matrix of its file.

    Args:
        path: .nii or .nii.gz.
        grid: `(d, h, w)`, with the axes of `volume.oriented(orientation)`; NaN becomes 0.
        volume: The volume; for an array, a voxel is 1 mm and the axes are written as (width, height, depth).
        orientation: The orientation of the grid.

    Raises:
        OutputError: The suffix is another one, or the file cannot be written.
        MissingExtra: nibabel is not installed.
    """
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise OutputError(f"a map of a volume is written as .nii or .nii.gz, not {path.name!r}.")
    nibabel = need("nibabel", extra="medical", what="writing NIfTI files")
    values = volume.to_file_axes(np.nan_to_num(grid, nan=0.0), orientation)
    affine = np.eye(4) if volume.file_affine is None else volume.file_affine
    image = nibabel.Nifti1Image(values.T if volume.affine is None else values, affine)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    atomic_write(path, gzip.compress(content, mtime=0) if path.name.lower().endswith(".gz") else content)


def _read_nifti(path: Path, max_bytes: int) -> Volume:
    nibabel = need("nibabel", extra="medical", what="reading NIfTI files")
    try:
        image = nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError as error:
        raise ImageError(f"it is no NIfTI file, or damaged: {_first_line(error)}.") from None
    if not isinstance(image, nibabel.Nifti1Image):
        raise ImageError(f"it is a {type(image).__name__}, not a NIfTI image.")
    shape = tuple(int(side) for side in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if image.get_data_dtype().fields is not None:
        raise ImageError("it holds colours (RGB), and a volume has one value per voxel. Convert it to grey.")
    if len(shape) != 3:
        kind = "a time series or several channels" if len(shape) > 3 else "no volume"
        raise ImageError(
            f"it has {len(shape)} axes, {_times(shape)}: {kind}. Save one volume of it, or pass a list of files, one "
            "per channel."
        )
    _check_size(shape, max_bytes)
    voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(shape)
    codes = int(image.header["sform_code"]), int(image.header["qform_code"])
    note = "" if any(codes) else "The file does not say how the volume lies in the body; nibabel's default is assumed."
    return replace(_positioned(voxels, np.asarray(image.affine, dtype=np.float64), path.name), note=note)


def _positioned(voxels: NDArray[np.float32], affine: NDArray[np.float64] | None, name: str) -> Volume:
    """Return a volume in RAS order, of voxels `(i, j, k)` with their affine matrix."""
    if affine is None:
        note = "The file does not say how the volume lies in the body."
        return Volume(np.ascontiguousarray(voxels.transpose(2, 1, 0))[None], name=name, note=note)
    nibabel = need("nibabel", extra="medical", what="reading volumes")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ImageError("its affine matrix cannot be inverted, so that voxels have no position. Repair its header.")
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(voxels, affine))
    axes = "".join(nibabel.aff2axcodes(affine))
    canonical = np.asarray(image.dataobj, dtype=np.float32)
    return Volume(canonical[None], np.asarray(image.affine, dtype=np.float64), axes, affine, name)


def _from_array(array: NDArray[Any], max_bytes: int, name: str) -> Volume:
    if array.ndim not in (3, 4) or array.size == 0:
        raise ImageError(
            f"an array of shape {array.shape} is no volume: expected (depth, height, width) or (channels, depth, "
            "height, width)."
        )
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_) or np.iscomplexobj(array):
        raise ImageError(f"an array of {array.dtype} is no volume: expected integers or floats.")
    _check_size(array.shape, max_bytes)
    voxels = np.array(array, dtype=np.float32)
    return Volume(voxels[None] if voxels.ndim == 3 else voxels, name=name)


def _stacked(parts: Sequence[Volume]) -> Volume:
    """Return volumes of one grid as the channels of one volume."""
    if not parts:
        raise ImageError("an empty list holds no volume.")
    first = parts[0]
    for part in parts[1:]:
        same_affine = part.affine is first.affine is None or (
            part.affine is not None and first.affine is not None and np.allclose(part.affine, first.affine, atol=1e-3)
        )
        if part.voxels.shape[1:] != first.voxels.shape[1:] or not same_affine:
            raise ImageError(
                f"{part.name} and {first.name} do not lie on one grid, so they are no channels of one volume: "
                "resample them to one grid first."
            )
    return replace(first, voxels=np.concatenate([part.voxels for part in parts]))


def _check_size(shape: Sequence[int], max_bytes: int) -> None:
    needed = 4 * int(np.prod([int(side) for side in shape], dtype=object))
    if needed == 0:
        raise ImageError(f"it has no voxels: {_times(shape)}.")
    if needed > max_bytes:
        raise ImageError(
            f"it has {_times(shape)} voxels and would take {needed / 1e6:,.0f} MB; the limit is "
            f"{max_bytes / 1e6:,.0f} (max_bytes). Crop or resample it."
        )


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
