"""The reliability diagram as inline SVG: how often answers of one confidence are right, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from camlucida.analysing.calibration import Bin

WIDTH, HEIGHT = 460, 330
LEFT, RIGHT, TOP, SPLIT, BOTTOM = 46, 12, 12, 232, 290
"""The diagram ends at SPLIT; below it, to BOTTOM, how many answers."""


def reliability(bins: Sequence[Bin]) -> str:
    """Bars are the accuracy of a bin, the line across them its mean confidence: a good model's lie on the diagonal."""
    found = [each for each in bins if each.count]
    most = max((each.count for each in found), default=1)
    said = "; ".join(f"sure {b.confidence:.0%}, right {b.accuracy:.0%}, {b.count} answers" for b in found)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"Reliability: {said}")}">']
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path class="grid" d="M{LEFT} {_y(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_tick(LEFT - 6, _y(tick) + 4, f"{tick:.0%}", "end"))
        parts.append(_tick(_x(tick), BOTTOM + 16, f"{tick:.0%}", "end" if tick == 1 else "middle"))
    for each in found:
        left, width = _x(each.low) + 1, max(2.0, _x(each.high) - _x(each.low) - 2)
        bar = (SPLIT + 14 - BOTTOM) * each.count / most
        title = f"<title>sure {each.confidence:.1%}, right {each.accuracy:.1%}, {each.count:,} answers</title>"
        parts.append(_rect("bar", left, _y(each.accuracy), width, SPLIT - _y(each.accuracy), title))
        low, high = sorted((each.accuracy, each.confidence))
        parts.append(_rect("gap", left, _y(high), width, _y(low) - _y(high), title))
        parts.append(f'<path class="sure" d="M{left:.1f} {_y(each.confidence):.1f}h{width:.1f}"/>')
        parts.append(_rect("many", left, BOTTOM + bar, width, -bar, title))
    parts.append(f'<path class="even" d="M{_x(0):.1f} {_y(0):.1f}L{_x(1):.1f} {_y(1):.1f}"/>')
    parts.append(_tick(LEFT - 6, BOTTOM, f"{0}", "end"))
    parts.append(_tick(LEFT - 6, SPLIT + 22, f"{most:,}", "end"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">confidence</text>')
    return "".join(parts) + "</svg>"


def _rect(kind: str, x: float, y: float, width: float, height: float, inside: str) -> str:
    size = f'width="{width:.1f}" height="{max(height, 0):.1f}"'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" {size}>{inside}</rect>'


def _tick(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return SPLIT - share * (SPLIT - TOP)
