"""Numbers of a map on its image, computed on the layer's grid.

A map is drawn on its image by two bilinear resamplings, which are linear: the sum of the drawn map over a region is a
weighted sum of the map's own values. The weights depend on the geometry only, so a data set of images of a few sizes
needs no map at full resolution, and the numbers equal those of the metrics. Maps of methods without a ReLU have
negative values, and the positive part of the drawn map is not linear in them: those maps are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from camlucida.audits.object_region import ObjectRegion
from camlucida.types import Geometry

Floats = NDArray[np.float64]

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

    @cached_property
    def row_sums(self) -> Floats:
        """Sum of the weights of the first n rows of the image, `(height + 1, h)`."""
        return _cumulative(self.rows)

    @cached_property
    def column_sums(self) -> Floats:
        """Sum of the weights of the first n columns of the image, `(width + 1, w)`."""
        return _cumulative(self.columns)

    @cached_property
    def of_statistics(self) -> Floats:
        """Weights `(4, h * w)` whose products with a map are sums over the drawn map.

        They are the sum over the image, the sum without the border, and the sums of x and of y, as fractions of the
        width and height.
        """
        left, top, right, bottom = self.visible
        dx, dy = round((right - left) * BORDER_FRACTION), round((bottom - top) * BORDER_FRACTION)
        inner_rows = self.row_sums[max(bottom - dy, top + dy)] - self.row_sums[top + dy]
        inner_columns = self.column_sums[max(right - dx, left + dx)] - self.column_sums[left + dx]
        all_rows, all_columns = self.row_sums[-1], self.column_sums[-1]
        center_rows, center_columns = _centers(self.rows), _centers(self.columns)
        pairs = (
            (all_rows, all_columns),
            (inner_rows, inner_columns),
            (all_rows, center_columns),
            (center_rows, all_columns),
        )
        return np.stack([np.outer(rows, columns).ravel() for rows, columns in pairs])

    def of_region(self, region: ObjectRegion) -> Floats:
        """Return the weights `(h * w,)` whose product with a map sums the drawn map over a region."""
        if region.mask is not None:
            mask = torch.as_tensor(region.mask)
            return (self.rows.T @ mask.to(self.rows.dtype) @ self.columns).numpy().ravel()
        rows = np.diff(self.row_sums[region.y_edges], axis=0)
        columns = np.diff(self.column_sums[region.x_edges], axis=0)
        weights: Floats = rows.T @ region.cells @ columns
        return weights.ravel()


def _cumulative(weights: Tensor) -> Floats:
    sums = np.zeros((weights.shape[0] + 1, weights.shape[1]))
    np.cumsum(weights.numpy(), axis=0, out=sums[1:])
    return sums


def _centers(weights: Tensor) -> Floats:
    """Return the sum of the weights of each pixel times its position, as a fraction of the image."""
    values: Floats = (np.arange(len(weights)) + 0.5) / len(weights) @ weights.numpy()
    return values


@lru_cache(maxsize=64)  # images of photographs have a few sizes; each takes as much memory as a thumbnail
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


@lru_cache(maxsize=128)
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


def _sums_of_drawn(map_: Tensor, drawing: DrawingWeights, region: ObjectRegion | None) -> Floats:
    """Return the sums of `DrawingWeights.of_statistics` and `of_region` over the positive part of the drawn map."""
    drawn: Floats = (drawing.rows @ map_ @ drawing.columns.T).clamp(min=0).numpy()
    (height, width), (left, top, right, bottom) = drawn.shape, drawing.visible
    dx, dy = round((right - left) * BORDER_FRACTION), round((bottom - top) * BORDER_FRACTION)
    of_rows, of_columns = drawn.sum(1), drawn.sum(0)
    sums = [
        of_rows.sum(),
        drawn[top + dy : max(bottom - dy, top + dy), left + dx : max(right - dx, left + dx)].sum(),
        of_columns @ (np.arange(width) + 0.5) / width,
        of_rows @ (np.arange(height) + 0.5) / height,
    ]
    if region is not None and region.mask is not None:
        sums.append(drawn[np.asarray(region.mask, dtype=bool)].sum())
    elif region is not None:
        in_rows = np.diff(np.pad(drawn.cumsum(0), ((1, 0), (0, 0)))[region.y_edges], axis=0)
        in_cells = np.diff(np.pad(in_rows.cumsum(1), ((0, 0), (1, 0)))[:, region.x_edges], axis=1)
        sums.append((in_cells * region.cells).sum())
    return np.array(sums)


def map_statistics(
    map_: Tensor, geometry: Geometry, region: ObjectRegion | None = None, *, relu: bool = True
) -> MapStatistics:
    """Return the numbers of one map `(h, w)`, see `statistics_of_maps`."""
    (statistics,) = statistics_of_maps(map_[None], geometry, region, relu=relu)
    return statistics


def statistics_of_maps(
    maps: Tensor, geometry: Geometry, region: ObjectRegion | None = None, *, relu: bool = True
) -> tuple[MapStatistics, ...]:
    """Return the numbers of the maps of one image.

    Args:
        maps: The signed maps `(n, h, w)`; their positive part counts.
        geometry: Position of the network input on the image.
        region: The object; None if it is unknown.
        relu: Whether the method clips its maps at zero, before they are drawn.
    """
    values = maps.detach().cpu().double().flatten(1).numpy()
    positive = np.where(values > 0, values, 0.0)  # NaN is not greater than 0
    drawing = drawing_weights(geometry, (int(maps.shape[1]), int(maps.shape[2])))
    weights = drawing.of_statistics
    if region is not None:
        weights = np.vstack([weights, drawing.of_region(region)])
    sums = positive @ weights.T
    for i in () if relu else np.flatnonzero((values < 0).any(1) & (positive > 0).any(1)):
        sums[i] = _sums_of_drawn(maps[i].detach().cpu().double().nan_to_num(), drawing, region)
    totals = sums[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        fractions = np.where(totals > 0, sums / totals, np.nan)
        shares = positive / positive.sum(1, keepdims=True)
        information = -np.where(shares > 0, shares * np.log(shares), 0.0).sum(1) / np.log(max(positive.shape[1], 2))
    area = float("nan") if region is None else region.area
    return tuple(
        MapStatistics(
            energy_in_box=float("nan") if region is None or area != area else float(row[4]),
            box_area=area,
            energy_at_border=1 - float(row[1]),
            center_x=float(row[2]),
            center_y=float(row[3]),
            entropy=float(entropy) if row[0] == row[0] else float("nan"),
        )
        for row, entropy in zip(fractions, information, strict=True)
    )
