"""Decoding of COCO's masks (polygons and run-length encoding), identical to pycocotools in every pixel.

- `mask_from_polygon`: corners to pixels
- `mask_from_rle`: run lengths, as numbers or as COCO's compressed string, to pixels
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from camlucida.errors import DataError

OVERSAMPLING = 5
"""Factor by which the grid that outlines are rasterised on is finer than the pixels."""


def mask_from_rle(counts: str | bytes | Sequence[int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of run lengths, which alternate between background and object in column-major order.

    Args:
        counts: Run lengths, or COCO's compressed string.
        size: `(height, width)` in pixels.

    Returns:
        The mask `(height, width)`.

    Raises:
        DataError: If the run lengths do not cover exactly `height * width` pixels.
    """
    runs = decode_rle(counts) if isinstance(counts, str | bytes) else [int(count) for count in counts]
    if min(runs, default=0) < 0 or sum(runs) != size[0] * size[1]:
        raise DataError(f"a mask of {size[0]} x {size[1]} pixels has run lengths for {sum(runs)}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(size[::-1]).T


def decode_rle(text: str | bytes) -> list[int]:
    """Decode COCO's compressed run lengths: 5 bits per character from "0" on; from the fourth number on, differences to
    the number two positions before.
    """
    letters = text.encode("ascii", "replace") if isinstance(text, str) else text
    runs: list[int] = []
    value = shift = 0
    for letter in letters:
        bits = letter - 48
        if not 0 <= bits < 64:
            raise DataError(f"{chr(letter)!r} is not allowed in a compressed mask")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # sign extension
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise DataError("a compressed mask ends in the middle of a number")
    return runs


def mask_from_polygon(corners: Sequence[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of a polygon: in each column, the outline's crossings toggle between outside and inside.

    Args:
        corners: x0, y0, x1, y1, ... in pixels.
        size: `(height, width)` in pixels.

    Returns:
        The mask `(height, width)`.

    Raises:
        DataError: If there are fewer than three corners.
    """
    points = np.asarray(corners, dtype=np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
        raise DataError(f"a polygon needs at least three corners x, y, not {len(points)} numbers")
    height, width = size
    u, v = _rasterise_outline(np.trunc(points.reshape(-1, 2) * OVERSAMPLING + 0.5).astype(np.int64))
    step = np.flatnonzero(u[1:] != u[:-1])
    x = (np.where(u[step + 1] < u[step], u[step + 1], u[step + 1] - 1) + 0.5) / OVERSAMPLING - 0.5
    y = (np.minimum(v[step + 1], v[step]) + 0.5) / OVERSAMPLING - 0.5
    in_image = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    rows = np.ceil(np.clip(y[in_image], 0, height)).astype(np.int64)
    crossings = np.zeros(width * height + 1, dtype=np.int64)
    np.add.at(crossings, x[in_image].astype(np.int64) * height + rows, 1)
    inside: NDArray[np.bool_] = np.cumsum(crossings)[:-1] % 2 == 1
    return inside.reshape(width, height).T


def _rasterise_outline(corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the coordinates of every point of the outline on the fine grid, in order."""
    us, vs = [], []
    for begin, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        distance = np.abs(end - begin)
        long_axis = int(distance[1] > distance[0])  # step along the longer axis, round the other
        low, high = (begin, end) if begin[long_axis] <= end[long_axis] else (end, begin)
        t = np.arange(distance[long_axis] + 1)
        gradient = (high[1 - long_axis] - low[1 - long_axis]) / max(1, distance[long_axis])
        points = [t, t]
        points[long_axis] = t + low[long_axis]
        points[1 - long_axis] = np.trunc(low[1 - long_axis] + gradient * t + 0.5).astype(np.int64)
        direction = slice(None) if low is begin else slice(None, None, -1)
        us.append(points[0][direction])
        vs.append(points[1][direction])
    return np.concatenate(us), np.concatenate(vs)
