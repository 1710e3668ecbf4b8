"""DICOM: one file with several frames, or the slices of one series in a folder, as a volume with its affine matrix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camlucida._optional import need
from camlucida.errors import ImageError

MAX_FILES = 20_000
"""Largest number of files in a folder that are opened."""

MAX_SNIFFED = 256
"""Number of files of a folder that are tried to find out whether it contains DICOM files."""

MAX_UNEVEN = 0.02
"""Largest deviation of the distance between slices, as a fraction of its median."""

MAX_DIRECTION_ERROR = 1e-3
"""Largest difference between direction cosines of slices that count as parallel."""

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the coordinates of DICOM (left, posterior, superior) to those of NIfTI (right, anterior, superior)."""


def is_dicom(path: Path) -> bool:
    """Return whether a file begins like a DICOM file, or a folder contains such a file."""
    if path.is_dir():
        return any(is_dicom(file) for file in _files(path)[:MAX_SNIFFED])
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return False
    return start[128:132] == b"DICM"


def read_series(path: Path, max_bytes: int) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Read a DICOM file, or all slices of the one series in a folder.

    Args:
        path: A file or a folder.
        max_bytes: Largest memory for the voxels in float32.

    Returns:
        Voxels `(columns, rows, slices)` after rescaling, and their affine matrix to mm in RAS; None for frames of which
        the file does not tell the position.

    Raises:
        ImageError: It is damaged, compressed in a way for which there is no decoder, in colour, no single series, or
            slices are missing.
    """
    pydicom = need("pydicom", extra="medical", what="reading DICOM files")
    files = [file for file in _files(path) if is_dicom(file)] if path.is_dir() else [path]
    if not files:
        raise ImageError("it contains no DICOM file.")
    headers = [(file, _header(pydicom, file)) for file in files]
    slices = [(file, header) for file, header in headers if "Rows" in header and "Columns" in header]
    if not slices:
        raise ImageError("it contains no DICOM file with pixels.")
    _check_series([header for _, header in slices])
    frames = sum(int(header.get("NumberOfFrames", 1) or 1) for _, header in slices)
    first = slices[0][1]
    needed = 4 * int(first.Rows) * int(first.Columns) * frames
    if needed > max_bytes:
        raise ImageError(
            f"it has {first.Columns} × {first.Rows} × {frames} voxels and would take {needed / 1e6:,.0f} MB; the limit "
            f"is {max_bytes / 1e6:,.0f} (max_bytes)."
        )
    if len(slices) == 1:
        dataset = _dataset(pydicom, slices[0][0])
        pixels = _pixels(dataset)
        affine, order = _affine_of_frames(dataset, len(pixels))
        return pixels[order].transpose(2, 1, 0), affine
    if frames != len(slices):
        raise ImageError("several of its files have more than one frame: pass one of the files.")
    return _read_slices(pydicom, slices)


def _files(folder: Path) -> list[Path]:
    try:
        names = sorted(entry.path for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError as error:
        raise ImageError(f"cannot list {folder}: {error.strerror or error}.") from error
    return [Path(name) for name in names[:MAX_FILES] if os.path.isfile(name)]


def _header(pydicom: Any, file: Path) -> Any:
    try:
        return pydicom.dcmread(file, stop_before_pixels=True)
    except Exception as error:  # damaged files raise errors of many types
        raise ImageError(f"{file.name} is damaged: {_first_line(error)}.") from error


def _dataset(pydicom: Any, file: Path) -> Any:
    try:
        return pydicom.dcmread(file)
    except Exception as error:
        raise ImageError(f"{file.name} is damaged: {_first_line(error)}.") from error


def _check_series(headers: Sequence[Any]) -> None:
    """Raise `ImageError` unless the files are slices of one series, of one size and in grey."""
    series: dict[str, list[Any]] = {}
    for header in headers:
        series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    if len(series) > 1:
        listed = ", ".join(
            f"{len(of_series)} files of {str(of_series[0].get('SeriesDescription', '')) or uid!r}"
            for uid, of_series in list(series.items())[:4]
        )
        raise ImageError(f"it contains {len(series)} series: {listed}. Move the files of one series to a folder.")
    sizes = {(int(header.Rows), int(header.Columns)) for header in headers}
    if len(sizes) > 1:
        raise ImageError(f"its slices have different sizes: {sorted(sizes)}. Keep those of one size (no localizer).")
    if any(int(header.get("SamplesPerPixel", 1)) != 1 for header in headers):
        raise ImageError("it is in colour, and a volume has one value per voxel. Convert it to grey.")


def _pixels(dataset: Any) -> NDArray[np.float32]:
    """Return the frames `(n, rows, columns)` after rescaling to their units, such as HU."""
    try:
        pixels = np.asarray(dataset.pixel_array)
    except Exception as error:  # pydicom raises RuntimeError, NotImplementedError, AttributeError, ValueError ...
        syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
        if syntax is not None and getattr(syntax, "is_compressed", False):
            raise ImageError(
                f"its pixels are compressed ({syntax.name}), and pydicom has no decoder for them. Install one (pip "
                "install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg), or decompress the file with dcmdjpeg."
            ) from error
        raise ImageError(f"its pixels are damaged: {_first_line(error)}.") from error
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3:
        raise ImageError(f"its pixels have the shape {pixels.shape}, not (frames, rows, columns).")
    values = pixels.astype(np.float32)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # low values are bright
        values = np.float32(2 ** int(dataset.BitsStored) - 1) - values
    factor, offset = _rescaling(dataset)
    rescaled: NDArray[np.float32] = values * np.float32(factor) + np.float32(offset)
    return rescaled


def _rescaling(dataset: Any) -> tuple[float, float]:
    """Return the factor and offset of the values of a file; those of an enhanced file are shared by its frames."""
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in dataset.get(sequence, [])[:1]:
            for values in group.get("PixelValueTransformationSequence", [])[:1]:
                return float(values.RescaleSlope), float(values.RescaleIntercept)
    return float(dataset.get("RescaleSlope", 1) or 1), float(dataset.get("RescaleIntercept", 0) or 0)


def _read_slices(
    pydicom: Any, slices: Sequence[tuple[Path, Any]]
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Return the voxels of single slices, sorted along their normal, with their affine matrix."""
    placed = []
    for file, header in slices:
        if "ImagePositionPatient" not in header or "ImageOrientationPatient" not in header:
            raise ImageError(
                f"{file.name} does not say where its slice lies (ImagePositionPatient): no order is known."
            )
        placed.append((file, np.array(header.ImagePositionPatient, float), _directions(header)))
    directions = placed[0][2]
    if any(np.abs(other - directions).max() > MAX_DIRECTION_ERROR for _, _, other in placed):
        raise ImageError("its slices are not parallel. Keep those of one direction (no localizer).")
    normal = np.cross(directions[0], directions[1])
    placed.sort(key=lambda item: float(item[1] @ normal))
    positions = np.array([position for _, position, _ in placed])
    _check_distances(positions @ normal)
    step = (positions[-1] - positions[0]) / (len(placed) - 1)
    datasets = (_dataset(pydicom, file) for file, _, _ in placed)
    voxels = np.concatenate([_pixels(dataset) for dataset in datasets])
    return voxels.transpose(2, 1, 0), _affine(slices[0][1].PixelSpacing, directions, step, positions[0])


def _check_distances(along: NDArray[np.float64]) -> None:
    distances = np.diff(along)
    median = float(np.median(distances))
    if median <= 0 or float(distances.min()) < 1e-4 * max(1.0, median):
        raise ImageError("several of its slices lie at the same position: pass the slices of one time or echo.")
    if float(np.abs(distances - median).max()) > MAX_UNEVEN * median:
        gap = int(np.abs(distances - median).argmax())
        raise ImageError(
            f"its slices are not evenly spaced: {distances[gap]:.4g} mm after slice {gap + 1}, and {median:.4g} mm "
            "elsewhere. Slices are missing, or their distance varies: resample the series first."
        )


def _directions(header: Any) -> NDArray[np.float64]:
    """Return the directions of growing columns and of growing rows, `(2, 3)`."""
    return np.array(header.ImageOrientationPatient, float).reshape(2, 3)


def _affine(spacing: Any, directions: NDArray[Any], step: NDArray[Any], origin: NDArray[Any]) -> NDArray[np.float64]:
    """Return the matrix from (column, row, slice) to mm in RAS. PixelSpacing is (between rows, between columns)."""
    between_rows, between_columns = (float(value) for value in spacing)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = directions[0] * between_columns, directions[1] * between_rows
    lps[:3, 2], lps[:3, 3] = step, origin
    affine: NDArray[np.float64] = TO_RAS @ lps
    return affine


def _affine_of_frames(dataset: Any, n_frames: int) -> tuple[NDArray[np.float64] | None, NDArray[np.int64]]:
    """Return the affine matrix of the frames of one file, or None if the file does not tell it, and their order."""
    order: NDArray[np.int64] = np.arange(n_frames)
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    if frames is None:
        if "ImagePositionPatient" not in dataset or "PixelSpacing" not in dataset:
            return None, order
        directions, origin = _directions(dataset), np.array(dataset.ImagePositionPatient, float)
        between = dataset.get("SpacingBetweenSlices", dataset.get("SliceThickness"))
        if between is None:
            if n_frames > 1:
                return None, order
            between = 1.0
        step = np.cross(directions[0], directions[1]) * float(between)
        return _affine(dataset.PixelSpacing, directions, step, origin), order
    shared = dataset.get("SharedFunctionalGroupsSequence", [None])[0]

    def of_frame(i: int, sequence: str) -> Any:
        for group in (frames[i], shared):
            if group is not None and sequence in group:
                return group[sequence][0]
        return None

    planes = [of_frame(i, "PlanePositionSequence") for i in range(n_frames)]
    orientation, measures = of_frame(0, "PlaneOrientationSequence"), of_frame(0, "PixelMeasuresSequence")
    if any(plane is None for plane in planes) or orientation is None or measures is None:
        return None, order
    directions = _directions(orientation)
    positions = np.array([plane.ImagePositionPatient for plane in planes], float)
    along = positions @ np.cross(directions[0], directions[1])
    if n_frames > 1:
        order = np.argsort(along, kind="stable")
        positions = positions[order]
        _check_distances(along[order])
        step = (positions[-1] - positions[0]) / (n_frames - 1)
    else:
        step = np.cross(directions[0], directions[1]) * float(measures.get("SliceThickness", 1) or 1)
    return _affine(measures.PixelSpacing, directions, step, positions[0]), order


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
