"""Curves as inline SVG: readable without colours (dashes, and names in the legend), and by a screen reader."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from camlucida.evaluation.statistics import Floats

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 44
POINTS = 60
"""Points of a line at most: more cannot be seen."""
DASHES = ("", "7 4", "2 3", "10 3 2 3", "5 2", "1 2", "12 4", "4 4 1 4")
SERIES = len(DASHES)
"""Lines in a chart at most: more cannot be told apart."""
NORMAL = 1.96


@dataclass(frozen=True)
class Line:
    """The mean curve of one method (m,), and its 95 % band, pointwise."""

    name: str
    mean: Floats
    low: Floats
    high: Floats


def line(name: str, curves: Floats) -> Line:
    """Of curves (n, m), one a picture."""
    mean = curves.mean(0)
    half = NORMAL * curves.std(0, ddof=1) / np.sqrt(len(curves)) if len(curves) > 1 else np.zeros_like(mean)
    return Line(name, mean, mean - half, mean + half)


def chart(lines: list[Line], across: str, up: str) -> str:
    """An SVG of curves that run from 0 to 1; names are in `legend`."""
    bottom = min(0.0, *(float(each.low.min()) for each in lines))
    top = max(float(each.high.max()) for each in lines)
    top = top if top > bottom else bottom + 1
    ticks = _ticks(bottom, top)
    top = max(top, ticks[-1])

    def x(share: Floats) -> Floats:
        return np.asarray(LEFT + share * (WIDTH - LEFT - RIGHT))

    def y(value: Floats) -> Floats:
        return np.asarray(HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM))

    said = "; ".join(f"{each.name} from {each.mean[0]:.2g} to {each.mean[-1]:.2g}" for each in lines)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{up} by {across}: {said}")}">',
    ]
    for tick in ticks:
        at = float(y(np.array(tick)))
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = float(x(np.array(tick)))
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick:.4g}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(across)}</text>"
    )
    for i, each in enumerate(lines):
        places = np.unique(np.linspace(0, len(each.mean) - 1, min(POINTS, len(each.mean))).round().astype(int))
        along = x(places / max(len(each.mean) - 1, 1))
        band = _points(along, y(each.low[places])) + _points(along[::-1], y(each.high[places])[::-1])
        parts.append(f'<polygon class="band s{i}" points="{" ".join(band)}"/>')
        dash = f' stroke-dasharray="{DASHES[i]}"' if DASHES[i] else ""
        parts.append(f'<polyline class="line s{i}"{dash} points="{" ".join(_points(along, y(each.mean[places])))}"/>')
    return "".join(parts) + "</svg>"


def swatch(i: int) -> str:
    """What the line of series `i` looks like, for the legend."""
    dash = f' stroke-dasharray="{DASHES[i]}"' if DASHES[i] else ""
    return (
        f'<svg viewBox="0 0 36 10" class="swatch" aria-hidden="true">'
        f'<polyline class="line s{i}"{dash} points="0,5 36,5"/></svg>'
    )


def _points(x: Floats, y: Floats) -> list[str]:
    return [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)]


def _ticks(bottom: float, top: float) -> NDArray[np.float64]:
    """Round numbers from bottom to top, about five of them."""
    rough = (top - bottom) / 4
    size = 10 ** np.floor(np.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough)
    return np.asarray(np.arange(np.ceil(bottom / step), np.ceil(top / step - 1e-9) + 1) * step) + 0.0  # no -0
