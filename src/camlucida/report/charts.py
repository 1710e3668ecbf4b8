"""Curves as inline SVG, legible without colours (dashes, names in the legend) and with a screen reader."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.statistics import Floats
from camlucida.render.curves import axis_ticks

WIDTH_PX, HEIGHT_PX = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 44
MAX_POINTS = 60
"""Maximum number of points per line; more cannot be distinguished."""
DASHES = ("", "7 4", "2 3", "10 3 2 3", "5 2", "1 2", "12 4", "4 4 1 4")
MAX_SERIES = len(DASHES)
"""Maximum number of lines in a chart; more cannot be distinguished."""
Z_95 = 1.96


@dataclass(frozen=True)
class MeanCurve:
    """The mean curve of one method, `(m,)`, and its pointwise 95 % band."""

    name: str
    mean: Floats
    low: Floats
    high: Floats


def mean_curve(name: str, curves: Floats, images: NDArray[np.int64] | None = None) -> MeanCurve:
    """Return the mean of curves with its pointwise 95 % band, `mean ± 1.96 · standard error`.

    Args:
        name: The name of the method.
        curves: One curve per image, `(n, m)`, or per target of an image.
        images: The image `(n,)` of each curve, where an image may have several targets, which are not independent.
    """
    mean = curves.mean(0)
    if images is not None:
        _, positions = np.unique(images, return_inverse=True)
        n_images = int(positions.max()) + 1
        residuals = np.zeros((n_images, curves.shape[1]))
        np.add.at(residuals, positions, curves - mean)
        error = np.sqrt((residuals**2).sum(0) * n_images / max(1, n_images - 1)) / len(curves)
        return MeanCurve(name, mean, mean - Z_95 * error, mean + Z_95 * error)
    half_width = Z_95 * curves.std(0, ddof=1) / np.sqrt(len(curves)) if len(curves) > 1 else np.zeros_like(mean)
    return MeanCurve(name, mean, mean - half_width, mean + half_width)


def svg_chart(lines: list[MeanCurve], x_label: str, y_label: str) -> str:
    """Return an SVG chart of curves over [0, 1]. The names are displayed in a separate legend.

    Args:
        lines: The curves, at most `MAX_SERIES`.
        x_label: The label of the x axis.
        y_label: The label of the y axis.
    """
    bottom = min(0.0, *(float(each.low.min()) for each in lines))
    top = max(float(each.high.max()) for each in lines)
    ticks = [tick for tick in axis_ticks(bottom, top) if tick >= bottom]
    top = ticks[-1]

    def x(fraction: Floats) -> Floats:
        return np.asarray(LEFT + fraction * (WIDTH_PX - LEFT - RIGHT))

    def y(value: Floats) -> Floats:
        return np.asarray(HEIGHT_PX - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT_PX - TOP - BOTTOM))

    description = "; ".join(f"{each.name} from {each.mean[0]:.2g} to {each.mean[-1]:.2g}" for each in lines)
    parts = [
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" '
        f'aria-label="{escape(f"{y_label} by {x_label}: {description}")}">',
    ]
    for tick in ticks:
        position = float(y(np.array(tick)))
        parts.append(f'<path class="grid" d="M{LEFT} {position:.1f}H{WIDTH_PX - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{position + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        position = float(x(np.array(tick)))
        parts.append(
            f'<text class="tick" x="{position:.1f}" y="{HEIGHT_PX - BOTTOM + 17}" '
            f'text-anchor="middle">{tick:.4g}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH_PX - RIGHT) / 2}" y="{HEIGHT_PX - 8}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    for i, curve in enumerate(lines):
        indices = np.unique(np.linspace(0, len(curve.mean) - 1, min(MAX_POINTS, len(curve.mean))).round().astype(int))
        x_values = x(indices / max(len(curve.mean) - 1, 1))
        band = _points(x_values, y(curve.low[indices])) + _points(x_values[::-1], y(curve.high[indices])[::-1])
        parts.append(f'<polygon class="band s{i}" points="{" ".join(band)}"/>')
        dash = f' stroke-dasharray="{DASHES[i]}"' if DASHES[i] else ""
        parts.append(
            f'<polyline class="line s{i}"{dash} points="{" ".join(_points(x_values, y(curve.mean[indices])))}"/>'
        )
    return "".join(parts) + "</svg>"


def swatch(i: int) -> str:
    """Return the legend symbol of series `i` as SVG."""
    dash = f' stroke-dasharray="{DASHES[i]}"' if DASHES[i] else ""
    return (
        f'<svg viewBox="0 0 36 10" class="swatch" aria-hidden="true">'
        f'<polyline class="line s{i}"{dash} points="0,5 36,5"/></svg>'
    )


def _points(x: Floats, y: Floats) -> list[str]:
    return [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)]
