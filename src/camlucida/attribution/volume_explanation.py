"""The explanation of a volume: slices, projections, and the map in the grid of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from camlucida._ambient import plain_arithmetic
from camlucida._files import write_image
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.volume_figures import MAX_SLICE_PX, checked_index, draw_planes, draw_slices, plane_of
from camlucida.data.volumes import NIFTI_SUFFIXES, Volume, save_nifti
from camlucida.maps import to_volume_grid
from camlucida.render.overlay import overlay
from camlucida.render.volume_views import display_shape, views
from camlucida.types import Geometry, VolumeGeometry

N_SLICES = 12
"""Default number of slices on a contact sheet."""


@dataclass(frozen=True, eq=False, repr=False)
class VolumeExplanation(Explanation):
    """The saliency map of one score for one volume. `raw` and `map` are `(d, h, w)`.

    Attributes:
        volume: The volume, as read.
        voxels: `(c, d, h, w)`, with the axes of the network input; the first channel is displayed.
        orientation: Where these axes point, such as "SPL"; "" if the volume does not say how it lies in the body.
        volume_geometry: Position of the network input on the voxels.
        windows: Lowest and highest displayed value of each channel.
        preprocessing: The record of the preprocessing.
    """

    volume: Volume = field(default_factory=lambda: Volume(np.zeros((1, 1, 1, 1), np.float32)))
    voxels: NDArray[np.float32] = field(default_factory=lambda: np.zeros((1, 1, 1, 1), np.float32))
    orientation: str = ""
    volume_geometry: VolumeGeometry = field(
        default_factory=lambda: VolumeGeometry((1, 1, 1), (1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    )
    windows: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    preprocessing: dict[str, Any] = field(default_factory=dict)

    @cached_property
    @plain_arithmetic()
    def landed(self) -> NDArray[np.float32]:
        """The map on the grid of the voxels `(d, h, w)`, in its own units; NaN outside the network input."""
        landed: NDArray[np.float32] = to_volume_grid(self.map, self.volume_geometry).numpy()
        return landed

    @cached_property
    def peak_voxel(self) -> tuple[int, int, int]:
        """The voxel with the largest map value (of either sign, if the map shows signs); the centre of an empty map."""
        if self.is_empty:
            depth, height, width = (side // 2 for side in self.landed.shape)
            return depth, height, width
        values = np.abs(self.landed) if self.shows_signs else self.landed
        depth, height, width = (int(i) for i in np.unravel_index(int(np.nanargmax(values)), values.shape))
        return depth, height, width

    @property
    def peak_mm(self) -> tuple[float, float, float] | None:
        """The position of `peak_voxel` in mm (right, anterior, superior); None without an affine matrix."""
        if self.volume.affine is None:
            return None
        mark = np.zeros(self.landed.shape, dtype=np.float32)
        mark[self.peak_voxel] = 1
        file_voxel = np.unravel_index(int(self.volume.to_file_axes(mark, self.orientation).argmax()), self._file_shape)
        assert self.volume.file_affine is not None
        x, y, z, _ = self.volume.file_affine @ [*file_voxel, 1]
        return float(x), float(y), float(z)

    @property
    def _file_shape(self) -> tuple[int, ...]:
        return self.volume.to_file_axes(np.zeros(self.landed.shape, np.float32), self.orientation).shape

    @property
    def grid_label(self) -> str:
        """The resolution of the map itself: "4 × 7 × 7"."""
        return " × ".join(map(str, self.raw.shape))

    def overlay(
        self,
        opacity: float = 0.5,
        *,
        colormap: str | None = None,
        axis: int = 0,
        index: int | None = None,
        **style: Any,
    ) -> Image.Image:
        """Return one slice with the map, in its true proportions.

        Args:
            opacity: Opacity of the map, in [0, 1].
            colormap: As of `Explanation.overlay`.
            axis: Axis along which the volume is cut: 0, 1 or 2 (depth, height, width).
            index: Index of the slice; None for the one through `peak_voxel`.
            **style: Further arguments of `render.overlay`.
        """
        saliency, colormap = self._styled_map(colormap)
        view = views(self.orientation)[checked_index(axis, 3, "axis")]
        i = self.peak_voxel[axis] if index is None else checked_index(index, self.landed.shape[axis], "index")
        plane = plane_of(self, view, saliency, i)
        size = display_shape(plane.image.size, plane.mm, MAX_SLICE_PX)
        heatmap = np.asarray(Image.fromarray(plane.heatmap).resize(size, Image.Resampling.NEAREST))
        return overlay(plane.image.resize(size), heatmap, opacity=opacity, colormap=colormap, **style)

    def panel(self, *, colormap: str | None = None, position: Sequence[int] | None = None, **style: Any) -> Image.Image:
        """Return a page with three orthogonal slices, projections along each axis, and the predictions.

        Args:
            colormap: As of `Explanation.overlay`.
            position: Voxel `(depth, height, width)` through which the slices are cut; None for `peak_voxel`.
            **style: Further arguments of `render.volume_panel.draw_volume_panel`.
        """
        return draw_planes(self, colormap, position, style)

    def slices(self, *, n: int = N_SLICES, axis: int = 0, colormap: str | None = None, **style: Any) -> Image.Image:
        """Return a contact sheet of the slices whose mean map value is highest, in their order.

        Args:
            n: Number of slices.
            axis: Axis along which the volume is cut: 0, 1 or 2 (depth, height, width).
            colormap: As of `Explanation.overlay`.
            **style: Further arguments of `render.contact_sheet.contact_sheet`.
        """
        return draw_slices(self, n, axis, colormap, style)

    @plain_arithmetic()
    def still(self, reference: Explanation) -> Explanation:
        """Return the slice along the first axis through the maximum of another map, as the explanation of an image."""
        assert isinstance(reference, VolumeExplanation)
        view, i = views(self.orientation)[0], reference.peak_voxel[0]
        plane = plane_of(self, view, self.landed, i)
        size = display_shape(plane.image.size, plane.mm, MAX_SLICE_PX)

        def resized(heatmap: NDArray[np.float32]) -> Tensor:
            displayed = np.asarray(Image.fromarray(heatmap).resize(size, Image.Resampling.NEAREST))
            return torch.from_numpy(np.nan_to_num(displayed, nan=0.0))

        values = {f.name: getattr(self, f.name) for f in fields(Explanation)}
        values |= {
            "raw": resized(plane.heatmap),
            "relu": False,
            "image": plane.image.resize(size),
            "geometry": Geometry(size, size, (1.0, 1.0), (0.0, 0.0)),
            "source": f"{self.source}, {view.name.lower()} slice {i}",
        }
        if self.colour is not None:
            channels = [to_volume_grid(channel, self.volume_geometry).numpy() for channel in self.colour]
            values["colour"] = torch.stack([resized(plane_of(self, view, channel, i).heatmap) for channel in channels])
        return Explanation(**values)

    def colour_image(self) -> Image.Image:
        """Return the map in colour on the slice along the first axis through the map's maximum: grey is zero.

        Raises:
            MethodError: The explanation has no map in colour.
        """
        return super().colour_image() if self.colour is None else self.still(self).colour_image()

    def save_volume(self, path: str | Path) -> Path:
        """Write the map as NIfTI, in the grid and with the affine matrix of the file; 0 outside the network input.

        Viewers such as 3D Slicer and ITK-SNAP overlay it on the scan.

        Args:
            path: A file that ends in .nii or .nii.gz.

        Raises:
            OutputError: The suffix is another one, or the file cannot be written.
        """
        file = Path(path)
        save_nifti(file, self.landed, self.volume, self.orientation)
        return file

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Save the explanation; the suffix of the path decides how: as of `Explanation.save`, and .nii or .nii.gz."""
        path = Path(path)
        if path.name.lower().endswith(NIFTI_SUFFIXES):
            return [self.save_volume(path)]
        return super().save(path, **style)

    def save_slices(self, path: str | Path, **style: Any) -> list[Path]:
        """Save the contact sheet of `slices` as an image."""
        write_image(lambda: self.slices(**style), Path(path))
        return [Path(path)]

    def record(self) -> dict[str, Any]:
        """Return everything except the voxels, ready for JSON."""
        affine = self.volume.affine
        return super().record() | {
            "geometry": asdict(self.volume_geometry),
            "upsampling": "trilinear, half-voxel centres: grid to input, input to volume",
            "volume": {
                "orientation": self.orientation,
                "affine_ras": None if affine is None else affine.tolist(),
                "file_axes": self.volume.file_axes,
                "windows": [list(window) for window in self.windows],
                "preprocessing": self.preprocessing,
                "note": self.volume.note,
            },
            "peak_voxel": list(self.peak_voxel),
            "peak_mm_ras": self.peak_mm,
        }

    @property
    def remark(self) -> str:
        """Warnings about the map and the position of the volume, as sentences; empty without one."""
        return " ".join(filter(None, (super().remark, self.volume.note)))
