"""Small charts as inline SVG: a ROC curve, and histograms of correct and of wrong predictions above each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from camlucida.report.charts import DASHES, MAX_SERIES

SIDE_PX = 300
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 42
WIDTH_PX, HEIGHT_PX = 460, 200
N_BINS = 20
MAX_ROC_POINTS = 120


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve.

    Attributes:
        name: Name of the score.
        points: False and true positive rates, ascending, `(m, 2)`.
        text: The area under the curve with its interval, as text.
    """

    name: str
    points: Sequence[Sequence[float]]
    text: str


def roc_chart(curves: Sequence[RocCurve], title: str) -> str:
    """Return ROC curves as an SVG chart; at most `MAX_SERIES` of them are drawn.

    Args:
        curves: The curves.
        title: What is detected, for screen readers.
    """
    drawn = curves[:MAX_SERIES]
    size = SIDE_PX - LEFT - RIGHT

    def x(fraction: float) -> float:
        return LEFT + fraction * size

    def y(fraction: float) -> float:
        return SIDE_PX - BOTTOM - fraction * (SIDE_PX - TOP - BOTTOM)

    text = "; ".join(f"{curve.name}: {curve.text}" for curve in drawn)
    parts = [f'<svg viewBox="0 0 {SIDE_PX} {SIDE_PX}" role="img" aria-label="{escape(f"{title}. {text}")}">']
    for tick in (0.0, 0.5, 1.0):
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{SIDE_PX - RIGHT}M{x(tick):.1f} {TOP}V{y(0):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{y(0) + 16:.1f}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<path class="diagonal" d="M{x(0):.1f} {y(0):.1f}L{x(1):.1f} {y(1):.1f}"/>')
    for i, curve in enumerate(drawn):
        points = np.asarray(curve.points, dtype=np.float64).reshape(-1, 2)
        kept = np.unique(np.linspace(0, len(points) - 1, min(MAX_ROC_POINTS, len(points))).round().astype(int))
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points[kept])
        dash = f' stroke-dasharray="{DASHES[i]}"' if DASHES[i] else ""
        parts.append(f'<polyline class="line s{i}"{dash} points="{path}"/>')
    middle = LEFT + size / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{SIDE_PX - 6}" text-anchor="middle">false positive rate</text>'
        f'<text class="axis" x="12" y="{SIDE_PX / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {SIDE_PX / 2})">true positive rate</text>'
    )
    return "".join(parts) + "</svg>"


def stacked_histogram(
    values: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    label: str,
    limits: tuple[float, float] = (0.0, 1.0),
    names: tuple[str, str] = ("correct", "wrong predictions"),
) -> str:
    """Return a histogram as SVG: correct predictions upwards from the axis, wrong ones downwards.

    Args:
        values: The values `(n,)`; NaN values are left out.
        wrong: Whether each prediction is wrong `(n,)`.
        label: Name of the values.
        limits: Ends of the axis.
        names: What the values above and below the axis are called.
    """
    edges = np.linspace(*limits, N_BINS + 1)
    counts = [np.histogram(values[group & np.isfinite(values)], edges)[0] for group in (~wrong, wrong)]
    largest = max(1, int(counts[0].max()) + int(counts[1].max()))
    height = HEIGHT_PX - TOP - BOTTOM
    base = TOP + height * int(counts[0].max()) / largest
    width = (WIDTH_PX - LEFT - RIGHT) / N_BINS
    description = f"{label}: {int(counts[0].sum()):,} {names[0]} and {int(counts[1].sum()):,} {names[1]}"
    parts = [f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{escape(description)}">']
    for up, kind, group in ((True, "right", counts[0]), (False, "wrong", counts[1])):
        for i, count in enumerate(group.tolist()):
            if count:
                size = max(1.0, height * count / largest)
                top = base - size if up else base
                title = f"{count:,} {'correct' if up else 'wrong'}, {edges[i]:.3g} to {edges[i + 1]:.3g}"
                parts.append(
                    f'<rect class="{kind}" x="{LEFT + i * width + 1:.1f}" y="{top:.1f}" width="{width - 2:.1f}" '
                    f'height="{size:.1f}"><title>{title}</title></rect>'
                )
    parts.append(f'<path class="zero" d="M{LEFT} {base:.1f}H{WIDTH_PX - RIGHT}"/>')
    for up, group in ((True, counts[0]), (False, counts[1])):
        if top_count := int(group.max()):
            position = base - height * top_count / largest if up else base + height * top_count / largest
            parts.append(
                f'<text class="tick" x="{LEFT - 6}" y="{position + (10 if up else 0):.1f}" '
                f'text-anchor="end">{top_count:,}</text>'
            )
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        tick = limits[0] + fraction * (limits[1] - limits[0])
        parts.append(
            f'<text class="tick" x="{LEFT + fraction * (WIDTH_PX - LEFT - RIGHT):.1f}" y="{HEIGHT_PX - BOTTOM + 16}" '
            f'text-anchor="{"end" if fraction == 1 else "middle"}">{tick:.3g}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH_PX - RIGHT) / 2}" y="{HEIGHT_PX - 6}" text-anchor="middle">'
        f"{escape(label)}</text>"
    )
    return "".join(parts) + "</svg>"
