"""Numbers of a map on its image, computed on the layer's grid.

A map is drawn on its image by two bilinear resamplings, which are linear: the sum of the drawn map over a region is a
weighted sum of the map's own values. The weights depend on the geometry only, so a data set of images of a few sizes
needs no map at full resolution, and the numbers equal those of the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from camlucida.types import Geometry

BORDER_FRACTION = 0.1
"""Width of the border, as a fraction of the visible width and height."""


@dataclass(frozen=True)
class MapStatistics:
    """Numbers of the positive part of a map, as it is drawn on its image; NaN where it is zero everywhere.

    Attributes:
        energy_in_box: Fraction of the map's sum on the object; NaN where no box or mask is known. Equal to the metric
            `energy`.
        box_area: Fraction of the image that the object covers, the chance level of `energy_in_box`.
        energy_at_border: Fraction of the map's sum in the outer tenth of the visible image, on all sides.
        center_x: Center of mass, as a fraction of the image's width.
        center_y: Center of mass, as a fraction of the image's height.
        entropy: Entropy of the map on the layer's grid, divided by that of a constant map: 0 for one position, 1 for a
            constant map.
    """

    energy_in_box: float
    box_area: float
    energy_at_border: float
    center_x: float
    center_y: float
    entropy: float


@dataclass(frozen=True, eq=False)
class DrawingWeights:
    """The matrices of drawing a map on its image: `drawn = rows @ map @ columns.T`.

    Attributes:
        rows: `(height, h)`; zero for rows of the image outside the network input.
        columns: `(width, w)`; zero for columns outside it.
        visible: (left, top, right, bottom) of the visible part, in pixels, inside the image.
    """

    rows: Tensor
    columns: Tensor
    visible: tuple[int, int, int, int]

    def of_region(self, region: Tensor) -> Tensor:
        """Return the weights `(h, w)` whose product with a map sums the drawn map over a region `(height, width)`."""
        return self.rows.T @ region.to(self.rows.dtype) @ self.columns

    def of_box(self, rows: slice, columns: slice) -> Tensor:
        """Return the weights `(h, w)` of a rectangle of pixels."""
        return torch.outer(self.rows[rows].sum(0), self.columns[columns].sum(0))

    def of_image(self) -> Tensor:
        """Return the weights `(h, w)` of the whole image."""
        return self.of_box(slice(None), slice(None))

    def of_inner_part(self, border: float = BORDER_FRACTION) -> Tensor:
        """Return the weights `(h, w)` of the visible image without its border."""
        left, top, right, bottom = self.visible
        dx, dy = round((right - left) * border), round((bottom - top) * border)
        return self.of_box(slice(top + dy, bottom - dy), slice(left + dx, right - dx))


@lru_cache(maxsize=512)
def drawing_weights(geometry: Geometry, grid: tuple[int, int]) -> DrawingWeights:
    """Return the matrices of `camlucida.maps.to_image_grid` for maps `(h, w)` of a grid.

    Args:
        geometry: Position of the network input on the image.
        grid: `(h, w)`.
    """
    left, top, right, bottom = geometry.visible_box
    (width, height), (input_width, input_height) = geometry.original, geometry.input
    (scale_x, scale_y), (offset_x, offset_y) = geometry.scale, geometry.offset
    rows, (top_px, bottom_px) = _along(height, input_height, grid[0], scale_y, offset_y, (top, bottom))
    columns, (left_px, right_px) = _along(width, input_width, grid[1], scale_x, offset_x, (left, right))
    return DrawingWeights(rows, columns, (left_px, top_px, right_px, bottom_px))


def _along(
    n_pixels: int, n_input: int, n_cells: int, scale: float, offset: float, visible: tuple[float, float]
) -> tuple[Tensor, tuple[int, int]]:
    """Return the matrix of one axis, `(pixels, cells)`, and the visible pixels as a half-open range."""
    to_input = F.interpolate(
        torch.eye(n_cells, dtype=torch.float64)[None], size=n_input, mode="linear", align_corners=False
    )[0].T
    centers = torch.arange(n_pixels, dtype=torch.float64) + 0.5
    position = (centers * scale + offset - 0.5).clamp(0, n_input - 1)
    lower = position.floor().long().clamp(max=n_input - 1)
    upper = (lower + 1).clamp(max=n_input - 1)
    fraction = (position - lower)[:, None]
    matrix = to_input[lower] * (1 - fraction) + to_input[upper] * fraction
    inside = (centers > visible[0]) & (centers < visible[1])
    if not bool(inside.any()):
        inside[min(int(sum(visible) / 2), n_pixels - 1)] = True
    where = inside.nonzero().flatten()
    return matrix * inside[:, None], (int(where[0]), int(where[-1]) + 1)


def map_statistics(map_: Tensor, geometry: Geometry, region: Tensor | None = None) -> MapStatistics:
    """Return the numbers of one map.

    Args:
        map_: The signed map `(h, w)`; its positive part counts.
        geometry: Position of the network input on the image.
        region: The object's mask `(height, width)`; None if it is unknown.
    """
    positive = map_.detach().double().cpu().clamp_min(0)
    weights = drawing_weights(geometry, (int(map_.shape[0]), int(map_.shape[1])))
    area = float("nan") if region is None or not bool(region.any()) else float(region.double().mean())
    total = float((positive * weights.of_image()).sum())
    if not total > 0:
        nan = float("nan")
        return MapStatistics(nan, area, nan, nan, nan, nan)
    energy = float((positive * weights.of_region(region)).sum()) / total if region is not None and area > 0 else area
    inner = float((positive * weights.of_inner_part()).sum()) / total
    by_row = weights.rows @ (positive @ weights.columns.sum(0))
    by_column = weights.columns @ (weights.rows.sum(0) @ positive)
    share = positive.flatten() / positive.sum()
    entropy = float(torch.special.entr(share).sum()) / float(torch.tensor(float(share.numel())).log().clamp_min(1e-12))
    return MapStatistics(
        energy_in_box=energy,
        box_area=area,
        energy_at_border=1 - inner,
        center_x=_center(by_column),
        center_y=_center(by_row),
        entropy=entropy,
    )


def _center(marginal: Tensor) -> float:
    centers = (torch.arange(len(marginal), dtype=torch.float64) + 0.5) / len(marginal)
    return float((marginal * centers).sum() / marginal.sum())
