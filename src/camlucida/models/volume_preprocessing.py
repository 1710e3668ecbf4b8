"""Preprocessing from a volume to the network input, as data, so that maps can be projected back onto the voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from camlucida.errors import ImageError, ModelError
from camlucida.options import shown
from camlucida.types import VolumeGeometry

VolumeFit: TypeAlias = Literal["squash", "crop"]
"""How a volume is fitted to the input size: resized along every axis, or its centre cropped and padded."""

MAX_VOXELS = 2**29
"""Largest number of voxels of a network input: 2 GiB in float32."""

DIRECTIONS = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
"""The letters of an orientation, with the axis of the body that each belongs to: right-left, front-back, head-feet."""


@dataclass(frozen=True)
class VolumePreprocessing:
    """Preprocessing of a volume: orient, resample, window, resize or crop, scale to [0, 1], normalise.

    Triples are in the order of the axes of the network input, (depth, height, width).

    Attributes:
        size: Size of the network input in voxels; None for the size of the volume, after resampling.
        spacing: Edge lengths in mm to which voxels are resampled first; None to keep the voxels of the file.
        orientation: Where the three axes of the network input point to, as letters of nibabel. "SPL" is what SimpleITK
            returns as an array of an axial scan: slices from feet to head, rows from front to back, columns from the
            patient's right to left. "RAS" is the order in which MONAI and TorchIO train. Arrays without an affine
            matrix are not turned.
        fit: "squash" resizes every axis to `size`; "crop" crops the centre, and pads with the lowest value.
        window: Lowest and highest value in the units of the file, such as (-1000, 400) HU; values beyond are clipped.
        percentiles: Percentiles of the volume that are used as the window where none is given; (0, 100) is min-max.
        zscore: Whether the voxels are scaled to mean 0 and standard deviation 1 of this volume, after the window.
        mean: Mean of each channel, subtracted from the windowed values in [0, 1].
        std: Standard deviation of each channel, by which they are divided.
    """

    size: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    orientation: str = "SPL"
    fit: VolumeFit = "squash"
    window: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (0.5, 99.5)
    zscore: bool = False
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        """Raise `ModelError` for invalid values; lists become tuples."""
        for name in ("size", "spacing", "window", "percentiles", "mean", "std"):
            value: Any = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        if self.size is not None and not _are_numbers(self.size, 3, lambda v: isinstance(v, int) and v >= 1):
            raise ModelError(f"size must be (depth, height, width) in voxels, not {shown(self.size)}.")
        if self.size is not None and math.prod(self.size) > MAX_VOXELS:
            raise ModelError(f"an input of {_times(self.size)} voxels is too large: at most {MAX_VOXELS:,} voxels.")
        if self.spacing is not None and not _are_numbers(self.spacing, 3, lambda v: v > 0):
            raise ModelError(f"spacing must be three lengths in mm above 0, not {shown(self.spacing)}.")
        orientation: Any = self.orientation
        axes = [DIRECTIONS.get(letter) for letter in orientation] if isinstance(orientation, str) else []
        if sorted(axis for axis in axes if axis is not None) != [0, 1, 2] or len(axes) != 3:
            raise ModelError(
                f"orientation must be three letters, one of R or L, A or P, and S or I each, such as 'SPL' or 'RAS', "
                f"not {shown(orientation)}."
            )
        if self.fit not in get_args(VolumeFit):
            raise ModelError(f"fit must be squash or crop, not {shown(self.fit)}.")
        if self.window is not None and not (_are_numbers(self.window, 2) and self.window[0] < self.window[1]):
            raise ModelError(f"window must be (lowest, highest) in the units of the file, not {shown(self.window)}.")
        in_range = _are_numbers(self.percentiles, 2, lambda v: 0 <= v <= 100)
        if not in_range or self.percentiles[0] >= self.percentiles[1]:
            raise ModelError(f"percentiles must be (lowest, highest) from 0 to 100, not {shown(self.percentiles)}.")
        if not isinstance(self.zscore, bool):
            raise ModelError(f"zscore must be True or False, not {shown(self.zscore)}.")
        n_channels = len(self.mean) if isinstance(self.mean, tuple) else 0
        if not _are_numbers(self.mean, max(1, n_channels)) or not _are_numbers(self.std, n_channels, lambda v: v > 0):
            raise ModelError(
                "mean and std must have one number per channel each, and std numbers above 0, not "
                f"{shown(self.mean)} and {shown(self.std)}."
            )

    @property
    def n_channels(self) -> int:
        """Number of channels of the network input."""
        return len(self.mean)

    def __call__(
        self, voxels: NDArray[np.float32], voxel_mm: Sequence[float] | None = None
    ) -> tuple[Tensor, VolumeGeometry, tuple[tuple[float, float], ...]]:
        """Return the network input of a volume.

        Args:
            voxels: `(c, depth, height, width)`, with the axes of the network input.
            voxel_mm: Edge lengths of a voxel in mm, along the same axes; None if unknown.

        Returns:
            The network input `(c, *size)`, its geometry on the volume, and the window of each channel.

        Raises:
            ImageError: The number of channels differs, voxels are NaN, the volume is constant, or `spacing` is given
                and the volume has none.
        """
        if len(voxels) != self.n_channels:
            raise ImageError(
                f"the volume has {len(voxels)} channel{'s' * (len(voxels) != 1)}, and the model's mean= and std= are "
                f"for {self.n_channels}. Give one number per channel."
            )
        n_invalid = int((~np.isfinite(voxels)).sum())
        if n_invalid:
            raise ImageError(f"{n_invalid:,} of the {voxels.size:,} voxels are NaN or infinite. Replace them first.")
        windows = tuple(self._window(channel) for channel in voxels)
        low, high = (torch.tensor(side, dtype=torch.float32).view(-1, 1, 1, 1) for side in zip(*windows, strict=True))
        values = ((torch.from_numpy(np.ascontiguousarray(voxels, dtype=np.float32)) - low) / (high - low)).clamp(0, 1)
        placed, geometry = self._placed(values, voxel_mm)
        if self.zscore:
            axes = (1, 2, 3)
            deviation = placed.std(axes, correction=0, keepdim=True)
            placed = (placed - placed.mean(axes, keepdim=True)) / deviation.where(deviation > 0, 1)
        mean, std = (torch.tensor(v, dtype=torch.float32).view(-1, 1, 1, 1) for v in (self.mean, self.std))
        return ((placed - mean) / std).contiguous(), geometry, windows

    def record(self) -> dict[str, Any]:
        """Return all fields with the types that JSON can represent."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def _window(self, channel: NDArray[np.float32]) -> tuple[float, float]:
        if self.window is not None:
            return self.window
        low, high = (float(value) for value in np.percentile(channel, self.percentiles))
        if low == high:  # most voxels are background
            low, high = float(channel.min()), float(channel.max())
        if low == high:
            raise ImageError(f"all voxels of the volume have the value {low:g}: there is nothing to explain.")
        return low, high

    def _placed(self, values: Tensor, voxel_mm: Sequence[float] | None) -> tuple[Tensor, VolumeGeometry]:
        """Return the voxels resampled, resized or cropped, and their geometry on the volume."""
        original = _triple(int(side) for side in values.shape[1:])
        resampled = original
        if self.spacing is not None:
            if voxel_mm is None:
                raise ImageError(
                    f"spacing={self.spacing} resamples to mm, and the volume does not say how large its voxels are. "
                    "Pass a NIfTI or DICOM file, or a preprocessing without spacing."
                )
            resampled = _triple(
                max(1, round(n * mm / wanted)) for n, mm, wanted in zip(original, voxel_mm, self.spacing, strict=True)
            )
        if self.fit == "squash" and self.size is not None:
            resampled = self.size
        if math.prod(resampled) > MAX_VOXELS:
            raise ImageError(f"the resampled volume has {_times(resampled)} voxels: at most {MAX_VOXELS:,}.")
        if resampled != original:
            values = F.interpolate(values[None], size=resampled, mode="trilinear", align_corners=False)[0]
        scale = _triple(new / old for new, old in zip(resampled, original, strict=True))
        size = self.size or resampled
        before = [_margin(new, wanted) for new, wanted in zip(resampled, size, strict=True)]
        if resampled != size:
            padding = [
                side
                for start, new, wanted in reversed(list(zip(before, resampled, size, strict=True)))
                for side in (-start, start + wanted - new)
            ]
            values = F.pad(values, padding)
        return values, VolumeGeometry(original, size, scale, _triple(float(-start) for start in before))


def _margin(size: int, wanted: int) -> int:
    """Return the margin cropped before the centre, negative for padding."""
    return (size - wanted) // 2 if size >= wanted else -((wanted - size) // 2)


def _triple(values: Any) -> Any:
    return tuple(values)


def _times(sides: Sequence[int]) -> str:
    return " × ".join(f"{side:,}" for side in sides)


def _are_numbers(values: Any, n: int, is_valid: Any = lambda value: True) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == n
        and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
        and all(map(is_valid, values))
    )
