"""Masks that the user draws: read from files, and moved from the original image to the network input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camlucida.errors import TargetError
from camlucida.targets import RegionTarget
from camlucida.types import Geometry

PREFIX = "region:"
N_SAMPLES = 4
"""Samples of the mask along each side of a pixel of the network input."""


def read_region(spec: Any) -> Any:
    """Return "region:mask.png" and "region:mask.png: bus" as a `RegionTarget` with its mask read; others unmodified.

    Raises:
        TargetError: The file cannot be read, or the mask has no pixel.
    """
    if isinstance(spec, str) and spec.startswith(PREFIX):
        path, separator, name = spec.removeprefix(PREFIX).rpartition(": ")
        path, target = (path.strip(), name.strip()) if separator else (name.strip(), None)
        if not path:
            raise TargetError(
                f"{spec!r} names no mask. Write 'region:mask.png', or 'region:mask.png: bus' for a class."
            )
        return RegionTarget(_read_file(Path(path)), target or None, Path(path).name, spec)
    if not isinstance(spec, RegionTarget):
        return spec
    if isinstance(spec.mask, str | Path):
        path = str(spec.mask)
        text = spec.spec or f"{PREFIX}{path}" + ("" if spec.target is None else f": {spec.target}")
        return replace(spec, mask=_read_file(Path(path)), name=spec.name or Path(path).name, spec=text)
    mask = spec.mask.detach().cpu().numpy() if isinstance(spec.mask, Tensor) else np.asarray(spec.mask)
    return replace(spec, mask=_checked(mask, spec.name or "the mask"))


def mask_to_input(mask: NDArray[np.bool_], geometry: Geometry) -> Tensor:
    """Return a mask of the original image as one of the network input: pixels of which at least half is inside.

    A mask that is smaller than half a pixel everywhere is kept at the pixels that it touches.

    Args:
        mask: Mask `(height, width)` of the original image.
        geometry: Position of the network input on the image.

    Raises:
        TargetError: The mask has another size than the image, or lies outside of what the network sees.
    """
    width, height = geometry.original
    if mask.shape != (height, width):
        found = f"{mask.shape[1]}×{mask.shape[0]}"
        raise TargetError(f"the mask has {found} pixels, and the image {width}×{height}: they must be equal.")
    columns, rows = (_sampled(geometry, axis) for axis in (0, 1))
    seen = (rows >= 0)[:, None] & (columns >= 0)[None]
    samples = mask[np.clip(rows, 0, None)][:, np.clip(columns, 0, None)] & seen
    fine = samples.reshape(geometry.input[1], N_SAMPLES, geometry.input[0], N_SAMPLES).mean((1, 3))
    inside = fine >= 0.5 if (fine >= 0.5).any() else fine > 0
    if not inside.any():
        left, top, right, bottom = geometry.visible_box
        raise TargetError(
            "the region lies outside of what the network sees of the image: "
            f"{left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}."
        )
    return torch.from_numpy(inside)


def _sampled(geometry: Geometry, axis: int) -> NDArray[np.int64]:
    """Return the row or column of the image at each sample of the network input; -1 outside."""
    positions = (np.arange(geometry.input[axis] * N_SAMPLES) + 0.5) / N_SAMPLES
    on_image = np.floor((positions - geometry.offset[axis]) / geometry.scale[axis]).astype(np.int64)
    on_image[(on_image < 0) | (on_image >= geometry.original[axis])] = -1
    return on_image


def _read_file(path: Path) -> NDArray[np.bool_]:
    try:
        if path.suffix.lower() == ".npy":
            return _checked(np.load(path, allow_pickle=False), path.name)
        with Image.open(path) as image:
            values: NDArray[Any] = np.asarray(image)
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise TargetError(
            f"the mask {str(path)!r} cannot be read: {' '.join(str(error).split())[:200]}. Use an image or .npy file."
        ) from None
    if values.ndim == 3:
        has_alpha = values.shape[2] in (2, 4)
        colours = values[..., : values.shape[2] - has_alpha]
        values = np.asarray((colours > 0).any(2) & (values[..., -1] > 0 if has_alpha else True))
    return _checked(values, path.name)


def _checked(values: NDArray[Any], name: str) -> NDArray[np.bool_]:
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise TargetError(
            f"{name} has the shape {values.shape} and the type {values.dtype}; a mask is an array (height, width)."
        )
    mask: NDArray[np.bool_] = values != 0
    if not mask.any():
        raise TargetError(f"{name} is zero everywhere: a region has at least one pixel that is not zero.")
    return mask
