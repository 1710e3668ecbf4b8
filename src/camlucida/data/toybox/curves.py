"""Closed curves for the cartoons: ellipses, polygons, smooth blobs, strokes and rings.

In unit coordinates, x points right, y points down, and an object fills about [-1, 1] on both axes. Each function
returns a `Shape` with its filled outline and a slightly larger outline, which is painted first as the dark rim.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]
"""Corners of a closed polygon, `(n, 2)`: x and y in unit coordinates."""
Point: TypeAlias = tuple[float, float]

RIM = 0.04
"""Distance by which the dark rim extends beyond the fill, in unit coordinates."""


@dataclass(frozen=True, eq=False)
class Shape:
    """One patch of colour.

    Attributes:
        points: `(n, 2)` corners of the filled outline.
        role: Which colour of the object fills it: "body", "light", "accent", ... (see `palette`).
        rim: `(n, 2)` corners of the outline painted below it in the line colour; None for no rim.
    """

    points: Points
    role: str
    rim: Points | None = None


def ellipse(role: str, cx: float, cy: float, rx: float, ry: float, tilt: float = 0, rim: float = RIM) -> Shape:
    """Return an ellipse with centre (cx, cy) and half axes rx, ry, rotated clockwise by `tilt` degrees."""
    steps = np.linspace(0.0, 2 * pi, 28, endpoint=False)
    turn = tilt * pi / 180

    def outline(grow: float) -> Points:
        x, y = (rx + grow) * np.cos(steps), (ry + grow) * np.sin(steps)
        return np.stack([cx + x * cos(turn) - y * sin(turn), cy + x * sin(turn) + y * cos(turn)], axis=1)

    return Shape(outline(0.0), role, outline(rim) if rim else None)


def polygon(role: str, *corners: Point, rim: float = RIM) -> Shape:
    """Return a polygon with straight edges."""
    points = np.array(corners, dtype=np.float64)
    return Shape(points, role, _offset_outline(points, rim) if rim else None)


def box(role: str, left: float, top: float, right: float, bottom: float, rim: float = RIM) -> Shape:
    """Return an axis-aligned rectangle."""
    return polygon(role, (left, top), (right, top), (right, bottom), (left, bottom), rim=rim)


def blob(role: str, *knots: Point, rim: float = RIM) -> Shape:
    """Return a closed smooth curve (Catmull-Rom) through the knots."""
    points = _smooth(np.array(knots, dtype=np.float64), closed=True)
    return Shape(points, role, _offset_outline(points, rim) if rim else None)


def stroke(role: str, width: float, *knots: Point, rim: float = RIM) -> Shape:
    """Return a smooth open line of the given width through the knots, with round ends."""
    line = _smooth(np.array(knots, dtype=np.float64), closed=False)
    return Shape(_ribbon(line, width / 2), role, _ribbon(line, width / 2 + rim) if rim else None)


def ring(role: str, cx: float, cy: float, rx: float, ry: float, width: float, rim: float = RIM) -> Shape:
    """Return an elliptic band of the given width, whose hole is transparent."""
    steps = np.linspace(pi, 3 * pi, 29)  # the last point equals the first, where the two borders join

    def band(half: float) -> Points:
        outer = np.stack([cx + (rx + half) * np.cos(steps), cy + (ry + half) * np.sin(steps)], axis=1)
        inner = np.stack([cx + (rx - half) * np.cos(steps), cy + (ry - half) * np.sin(steps)], axis=1)
        return np.concatenate([outer, inner[::-1]])

    return Shape(band(width / 2), role, band(width / 2 + rim) if rim else None)


def mirror(*shapes: Shape, about: float = 0.0) -> tuple[Shape, ...]:
    """Return the shapes and their mirror images about the vertical line x = about."""

    def flip(points: Points) -> Points:
        flipped: Points = points * np.array([-1.0, 1.0]) + np.array([2 * about, 0.0])
        return flipped

    other = (Shape(flip(s.points), s.role, None if s.rim is None else flip(s.rim)) for s in shapes)
    return (*shapes, *other)


def _smooth(knots: Points, *, closed: bool, steps: int = 6) -> Points:
    """Return points of the Catmull-Rom curve through the knots, `steps` per segment."""
    ends = (knots[-1:], knots[:2]) if closed else (knots[:1], knots[-1:])
    k = np.concatenate([ends[0], knots, ends[1]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(k[:-3], k[1:-2], k[2:-1], k[3:], strict=True)
    ]
    curve: Points = np.concatenate(pieces if closed else [*pieces, knots[-1:]])
    return curve


def _offset_outline(points: Points, distance: float) -> Points:
    """Return the polygon with every edge moved outwards by `distance`; a sharp corner moves by at most twice that."""
    edge = np.roll(points, -1, axis=0) - points
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    x, y = points[:, 0], points[:, 1]
    if np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) < 0:
        normal = -normal  # the corners have the opposite orientation
    corner = normal + np.roll(normal, 1, axis=0)
    grown: Points = points + distance * corner / np.maximum(np.sum(corner**2, axis=1, keepdims=True) / 2, 0.5)
    return grown


def _ribbon(line: Points, half: float) -> Points:
    """Return the border of a line drawn with a round pen of radius `half`."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.stack([-along[:, 1], along[:, 0]], axis=1)
    turn = np.linspace(0.0, pi, 6)[1:-1, None]
    end = line[-1] + half * (np.cos(turn) * side[-1] + np.sin(turn) * along[-1])
    start = line[0] + half * (-np.cos(turn) * side[0] - np.sin(turn) * along[0])
    return np.concatenate([line + half * side, end, (line - half * side)[::-1], start])
