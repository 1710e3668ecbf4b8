"""Figures of the map of a volume: orthogonal slices with projections, and a contact sheet of slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.errors import MethodError
from camlucida.options import shown
from camlucida.render.contact_sheet import Tile, contact_sheet
from camlucida.render.palettes import PALETTES
from camlucida.render.probability_bars import Bar
from camlucida.render.volume_panel import Plane, draw_volume_panel
from camlucida.render.volume_views import View, display_shape, grey_image, views

if TYPE_CHECKING:
    from camlucida.attribution.volume_explanation import VolumeExplanation

MAX_SLICE_PX = (720, 720)
"""Largest (width, height) of a slice on its own, in its true proportions."""


def draw_planes(
    explanation: VolumeExplanation, colormap: str | None, position: Sequence[int] | None, style: dict[str, Any]
) -> Image.Image:
    """Return the page of `VolumeExplanation.panel`.

    Args:
        explanation: The explanation.
        colormap: As of `VolumeExplanation.panel`.
        position: As of `VolumeExplanation.panel`.
        style: Further arguments of `render.volume_panel.draw_volume_panel`.

    Raises:
        MethodError: The position is no voxel.
    """
    saliency, colormap = explanation._styled_map(colormap)
    at = explanation.peak_voxel if position is None else _checked_position(explanation, position)
    cuts = views(explanation.orientation)
    chosen = f"Slices through {'the map’s maximum' if position is None else 'the chosen voxel'}"
    return draw_volume_panel(
        [plane_of(explanation, view, saliency, at[view.axis]) for view in cuts],
        [_projection(explanation, view, saliency) for view in cuts],
        [Bar(p.name, p.probability, p.index == explanation.index, p.logit) for p in explanation.predictions],
        title=explanation.target,
        subtitle=f"{explanation.method} · {explanation.layer} · {explanation.grid_label}",
        score_label=explanation.score_label,
        note=explanation.remark,
        footer=explanation._footer,
        slices_label=f"{chosen}, voxel {', '.join(map(str, at))}{_position_text(explanation, position is None)}",
        scale=(-explanation.peak if PALETTES[colormap].diverging else 0.0, explanation.peak),
        colormap=colormap,
        **style,
    )


def draw_slices(
    explanation: VolumeExplanation, n: int, axis: int, colormap: str | None, style: dict[str, Any]
) -> Image.Image:
    """Return the page of `VolumeExplanation.slices`.

    Args:
        explanation: The explanation.
        n: As of `VolumeExplanation.slices`.
        axis: As of `VolumeExplanation.slices`.
        colormap: As of `VolumeExplanation.slices`.
        style: Further arguments of `render.contact_sheet.contact_sheet`.

    Raises:
        MethodError: The number of slices is below 1, or there is no such axis.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise MethodError(f"n is a number of slices, at least 1, not {shown(n)}.")
    saliency, colormap = explanation._styled_map(colormap)
    view = views(explanation.orientation)[checked_index(axis, 3, "axis")]
    strength = np.abs(explanation.landed) if explanation.shows_signs else np.maximum(explanation.landed, 0)
    means = np.nan_to_num(strength, nan=0.0).mean(tuple(i for i in range(3) if i != axis))
    best = sorted(np.argsort(-means, kind="stable")[:n].tolist())
    tiles = []
    for i in best:
        plane = plane_of(explanation, view, saliency, i)
        size = display_shape(plane.image.size, plane.mm, MAX_SLICE_PX)
        heatmap = np.asarray(Image.fromarray(plane.heatmap).resize(size, Image.Resampling.NEAREST))
        tiles.append(Tile(plane.image.resize(size), heatmap, f"{view.name} {i}", f"mean {means[i]:.3g}"))
    return contact_sheet(
        tiles,
        title=explanation.target,
        subtitle=f"{explanation.method} · {explanation.layer} · {explanation.grid_label} · "
        f"the {len(tiles)} of {len(means)} slices with the highest mean",
        aside=explanation.score_label,
        footer=explanation._footer,
        scale=(-explanation.peak if PALETTES[colormap].diverging else 0.0, explanation.peak),
        colormap=colormap,
        **style,
    )


def plane_of(explanation: VolumeExplanation, view: View, saliency: NDArray[np.float32], index: int) -> Plane:
    """Return one slice of a volume with a map.

    Args:
        explanation: The explanation.
        view: The plane.
        saliency: A map on the grid of the voxels `(d, h, w)`.
        index: Index of the slice.
    """
    image = grey_image(view.cut(explanation.voxels[0], index), explanation.windows[0])
    n = explanation.voxels.shape[1 + view.axis]
    caption = _caption(f"{view.name}, slice {index} of {n}", view)
    return Plane(image, view.cut(saliency, index), _mm(explanation, view), caption)


def checked_index(index: int, n: int, name: str) -> int:
    """Return the index itself. Raises `MethodError` unless it is from 0 to n - 1; `name` begins the message."""
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < n:
        raise MethodError(f"{name} must be from 0 to {n - 1}, not {shown(index)}.")
    return index


def _projection(explanation: VolumeExplanation, view: View, saliency: NDArray[np.float32]) -> Plane:
    """Return the maxima along an axis; of a map with both signs, the value that is farthest from zero."""
    image = grey_image(view.project(explanation.voxels[0]), explanation.windows[0])
    heatmap = view.project(saliency)
    if explanation.shows_signs:
        low = -view.project(-saliency)
        heatmap = np.where(heatmap - 0.5 >= 0.5 - low, heatmap, low)
    return Plane(image, heatmap, _mm(explanation, view), _caption(f"{view.name} projection", view))


def _mm(explanation: VolumeExplanation, view: View) -> tuple[float, float]:
    return view.mm(explanation.volume.voxel_mm(explanation.orientation) if explanation.orientation else None)


def _position_text(explanation: VolumeExplanation, is_peak: bool) -> str:
    mm = explanation.peak_mm if is_peak else None
    return "" if mm is None else f" at {mm[0]:.0f}, {mm[1]:.0f}, {mm[2]:.0f} mm (right, anterior, superior)"


def _checked_position(explanation: VolumeExplanation, position: Sequence[int]) -> tuple[int, int, int]:
    if not isinstance(position, Sequence) or len(position) != 3:
        raise MethodError(f"a position is a voxel (depth, height, width), not {shown(position)}.")
    depth, height, width = (
        checked_index(i, n, "position") for i, n in zip(position, explanation.landed.shape, strict=True)
    )
    return depth, height, width


def _caption(text: str, view: View) -> str:
    return f"{text} · {view.sides}" if view.sides else text
