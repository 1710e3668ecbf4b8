"""The reliability diagram as inline SVG: accuracy by confidence, and the number of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from camlucida.analysis.calibration import Bin

WIDTH_PX, HEIGHT_PX = 460, 330
LEFT, RIGHT, TOP, SPLIT, BOTTOM = 46, 12, 12, 232, 290
"""The diagram ends at SPLIT; the histogram of confidences extends from there to BOTTOM."""


def reliability_diagram(bins: Sequence[Bin]) -> str:
    """Return a reliability diagram as SVG.

    Bars show the accuracy of each bin, and the lines across them its mean confidence; for a calibrated model the two
    are equal.

    Args:
        bins: The bins of the calibration.
    """
    non_empty = [each for each in bins if each.count]
    max_count = max((each.count for each in non_empty), default=1)
    description = "; ".join(_bin_text(bin_) for bin_ in non_empty)
    parts = [
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{escape(f"Reliability: {description}")}">'
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path class="grid" d="M{LEFT} {_y(tick):.1f}H{WIDTH_PX - RIGHT}"/>')
        parts.append(_tick_label(LEFT - 6, _y(tick) + 4, f"{tick:.0%}", "end"))
        parts.append(_tick_label(_x(tick), BOTTOM + 16, f"{tick:.0%}", "end" if tick == 1 else "middle"))
    for bin_ in non_empty:
        left, width = _x(bin_.low) + 1, max(2.0, _x(bin_.high) - _x(bin_.low) - 2)
        bar = (SPLIT + 14 - BOTTOM) * bin_.count / max_count
        title = f"<title>{_bin_text(bin_)}</title>"
        parts.append(_rect("bar", left, _y(bin_.accuracy), width, SPLIT - _y(bin_.accuracy), title))
        low, high = sorted((bin_.accuracy, bin_.confidence))
        parts.append(_rect("gap", left, _y(high), width, _y(low) - _y(high), title))
        parts.append(f'<path class="confidence" d="M{left:.1f} {_y(bin_.confidence):.1f}h{width:.1f}"/>')
        parts.append(_rect("count", left, BOTTOM + bar, width, -bar, title))
    parts.append(f'<path class="diagonal" d="M{_x(0):.1f} {_y(0):.1f}L{_x(1):.1f} {_y(1):.1f}"/>')
    parts.append(_tick_label(LEFT - 6, BOTTOM, f"{0}", "end"))
    parts.append(_tick_label(LEFT - 6, SPLIT + 22, f"{max_count:,}", "end"))
    middle = (LEFT + WIDTH_PX - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT_PX - 6}" text-anchor="middle">confidence</text>')
    return "".join(parts) + "</svg>"


def _bin_text(bin_: Bin) -> str:
    return f"confidence {bin_.confidence:.1%}, accuracy {bin_.accuracy:.1%}, {bin_.count:,} predictions"


def _rect(kind: str, x: float, y: float, width: float, height: float, inside: str) -> str:
    size = f'width="{width:.1f}" height="{max(height, 0):.1f}"'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" {size}>{inside}</rect>'


def _tick_label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _x(fraction: float) -> float:
    return LEFT + fraction * (WIDTH_PX - LEFT - RIGHT)


def _y(fraction: float) -> float:
    return SPLIT - fraction * (SPLIT - TOP)
