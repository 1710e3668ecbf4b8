"""Forest plots: one row per value with its interval, as cells of a table, legible on a phone and without colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from camlucida.render.curves import axis_ticks
from camlucida.report.formatting import format_interval, format_number

BLEED_PX = 14
"""How far lines and bands extend beyond a row's drawing, so that those of adjacent rows meet."""
MARGIN = 3.0
"""Space at both ends of the axis, in percent of its length."""


@dataclass(frozen=True)
class ForestRow:
    """One value of a forest plot.

    Attributes:
        name: Name of the row.
        value: The value; NaN if it is unknown.
        low: Lower end of its interval; NaN if there is none.
        high: Upper end.
        note: Text beside the name, such as the number of images.
        p: The p-value, as text.
        highlighted: Whether the row differs significantly from the reference.
        muted: Whether the row is a control.
        filters: Filters of the page that select the row's images, as key and value; empty for none.
    """

    name: str
    value: float
    low: float
    high: float
    note: str = ""
    p: str = ""
    highlighted: bool = False
    muted: bool = False
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ForestPlot:
    """A forest plot, ready to be displayed.

    Attributes:
        caption: What is plotted.
        rows: The rows, each with its drawing as SVG and its value and interval as text.
        axis: The axis with its ticks, as SVG.
        legend: The meaning of the line and of the band.
        has_p: Whether a row has a p-value.
    """

    caption: str
    rows: Sequence[tuple[ForestRow, str, str, str]]
    axis: str
    legend: str
    has_p: bool


def forest_plot(
    caption: str,
    rows: Sequence[ForestRow],
    *,
    reference: float | None = None,
    reference_name: str = "",
    band: tuple[float, float] | None = None,
    band_name: str = "",
    limits: tuple[float, float] | None = None,
    percent: bool = False,
) -> ForestPlot:
    """Return a forest plot.

    Args:
        caption: What is plotted.
        rows: The values, in the order of the rows.
        reference: A value drawn as a vertical line through all rows.
        reference_name: Its name.
        band: An interval drawn as a grey band, such as that of the strongest uninformative baseline.
        band_name: Its name.
        limits: The ends of the axis; None for those of the values.
        percent: Whether values are fractions, to be written in percent.
    """
    low, high = limits or _limits(rows, reference, band)
    ticks = [tick for tick in axis_ticks(low, high) if low - 1e-12 <= tick <= high + 1e-12]
    if limits is None and ticks:
        low, high = min(low, ticks[0]), max(high, ticks[-1])
    axis = _Axis(low, high)
    text = _percent if percent else format_number
    drawn = [(row, _row_svg(row, axis, reference, band), text(row.value), _interval_text(row, percent)) for row in rows]
    legend = [
        f"Dashed line: {reference_name} ({text(reference)})." if reference is not None and reference_name else "",
        f"Grey band: {band_name}." if band is not None and band_name else "",
    ]
    return ForestPlot(
        caption, drawn, _axis_svg(axis, ticks[:: max(1, len(ticks) // 5)], text), " ".join(filter(None, legend)),
        any(row.p for row in rows),
    )  # fmt: skip


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float

    def percent(self, value: float) -> float:
        """Return the position of a value in percent of the drawing's width; values beyond the axis are at its end."""
        span = (self.high - self.low) or 1.0
        fraction = min(max((value - self.low) / span, 0.0), 1.0)
        return MARGIN + fraction * (100 - 2 * MARGIN)


def _limits(
    rows: Sequence[ForestRow], reference: float | None, band: tuple[float, float] | None
) -> tuple[float, float]:
    values = [value for row in rows for value in (row.value, row.low, row.high)]
    values += [] if reference is None else [reference]
    values += list(band or ())
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if low == high:
        return low - 0.5, high + 0.5
    return low, high


def _row_svg(row: ForestRow, axis: _Axis, reference: float | None, band: tuple[float, float] | None) -> str:
    """Return the interval and the value as SVG, with horizontal positions in percent so that it can be stretched."""
    parts = ['<svg class="forest" width="100%" height="22" aria-hidden="true">']
    height = f'height="{22 + 2 * BLEED_PX}"'
    if band is not None and all(math.isfinite(end) for end in band):
        left, right = axis.percent(band[0]), axis.percent(band[1])
        width = max(right - left, 0.4)
        parts.append(f'<rect class="baseline" x="{left:.2f}%" y="{-BLEED_PX}" width="{width:.2f}%" {height}/>')
    if reference is not None and math.isfinite(reference):
        x = axis.percent(reference)
        parts.append(f'<line class="reference" x1="{x:.2f}%" x2="{x:.2f}%" y1="{-BLEED_PX}" y2="{22 + BLEED_PX}"/>')
    kind = " differs" if row.highlighted else " muted" if row.muted else ""
    if math.isfinite(row.low) and math.isfinite(row.high):
        left, right = axis.percent(row.low), axis.percent(row.high)
        parts.append(f'<line class="interval{kind}" x1="{left:.2f}%" x2="{right:.2f}%" y1="11" y2="11"/>')
    if math.isfinite(row.value):
        x = axis.percent(row.value)
        parts.append(f'<circle class="value{kind}" cx="{x:.2f}%" cy="11" r="4.5"/>')
    return "".join(parts) + "</svg>"


def _axis_svg(axis: _Axis, ticks: Sequence[float], text: Callable[[float], str]) -> str:
    parts = ['<svg class="forest" width="100%" height="18" aria-hidden="true">']
    for i, tick in enumerate(ticks):
        x = axis.percent(tick)
        anchor = "start" if i == 0 and x < 8 else "end" if x > 92 else "middle"
        kind = "tick minor" if 0 < i < len(ticks) - 1 else "tick"
        label = escape(text(tick))
        parts.append(f'<text class="{kind}" x="{x:.2f}%" y="13" text-anchor="{anchor}">{label}</text>')
    return "".join(parts) + "</svg>"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %" if math.isfinite(value) else "–"


def _interval_text(row: ForestRow, percent: bool) -> str:
    if not (math.isfinite(row.low) and math.isfinite(row.high)):
        return ""
    if percent:
        return f"{100 * row.low:.3g} to {100 * row.high:.3g}"
    return format_interval(row.low, row.high)
