"""Line charts: numbers by step, with the name of each curve at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from camlucida.errors import MethodError
from camlucida.render.canvas import (
    ACCENT_COLOUR,
    BODY_PT,
    GUTTER_PT,
    HAIRLINE_COLOUR,
    MARGIN_PT,
    MUTED_COLOUR,
    SMALL_PT,
    TEXT_COLOUR,
    Sheet,
    draw_footer,
    draw_heading,
    line_height,
)

WIDTH_PT, HEIGHT_PT = 340.0, 210.0
SCALE_WIDTH_PT, NAME_WIDTH_PT = 46.0, 92.0
COLOURS = (TEXT_COLOUR, ACCENT_COLOUR, "#2f6db3")
OVERSAMPLING = 4
"""Lines are drawn at this multiple of their size and reduced, for anti-aliasing."""


@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        name: Name of the curve.
        points: Points (x, y) in order; y is None where there is no value.
    """

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Chart:
    """One chart with up to three curves.

    Attributes:
        title: Title of the chart.
        curves: The curves.
        x_label: Label of the x axis.
        bottom: Lower end of the y axis; None to fit the values.
        top: Upper end of the y axis; None to fit the values.
        mark: A highlighted x with its label.
    """

    title: str
    curves: Sequence[Curve]
    x_label: str
    bottom: float | None = None
    top: float | None = None
    mark: tuple[float, str] | None = None


def draw_charts(
    charts: Sequence[Chart], *, title: str, subtitle: str = "", footer: str = "", density: float = 2.0
) -> Image.Image:
    """Draw a page of charts side by side.

    Args:
        charts: The charts.
        title: Title of the page.
        subtitle: Text below the title.
        footer: Text below the charts.
        density: Pixels per point.

    Returns:
        The page, RGB.

    Raises:
        MethodError: If there are no values to draw.
    """
    if not any(y is not None for chart in charts for curve in chart.curves for _, y in curve.points):
        raise MethodError("there is no curve to draw: no chart contains a value.")
    content_width = len(charts) * WIDTH_PT + (len(charts) - 1) * 2 * GUTTER_PT
    sheet = Sheet(content_width + 2 * MARGIN_PT, density)
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, content_width, (title, subtitle), "") + GUTTER_PT
    ends = [_draw_chart(sheet, MARGIN_PT + i * (WIDTH_PT + 2 * GUTTER_PT), y, chart) for i, chart in enumerate(charts)]
    return sheet.trimmed(draw_footer(sheet, max(ends), footer))


def _draw_chart(sheet: Sheet, x: float, y: float, chart: Chart) -> float:
    """Draw one chart, and return the y at which it ends."""
    sheet.text(x, y, chart.title, BODY_PT, TEXT_COLOUR, bold=True)
    y += line_height(BODY_PT) + 10
    left, width = x + SCALE_WIDTH_PT, WIDTH_PT - SCALE_WIDTH_PT - NAME_WIDTH_PT
    all_points = [point for curve in chart.curves for point in curve.points]
    values = [v for _, v in all_points if v is not None and math.isfinite(v)]
    ticks = axis_ticks(
        min(values, default=0.0) if chart.bottom is None else chart.bottom,
        max(values, default=1.0) if chart.top is None else chart.top,
    )
    low, high = ticks[0], ticks[-1]
    first, last = min(a for a, _ in all_points), max(a for a, _ in all_points)

    def x_position(value: float) -> float:
        return left + (width * (value - first) / (last - first) if last > first else width / 2)

    def y_position(value: float) -> float:
        return y + HEIGHT_PT * (1 - (min(max(value, low), high) - low) / (high - low))

    for tick in ticks:
        sheet.rule(left, y_position(tick), width)
        sheet.text(left - 8, y_position(tick) - 0.7 * SMALL_PT, f"{tick:.4g}", SMALL_PT, MUTED_COLOUR, "right")
    for tick in sorted({first, last, *_integer_ticks(first, last)}):
        sheet.text(x_position(tick), y + HEIGHT_PT + 6, f"{tick:g}", SMALL_PT, MUTED_COLOUR, "centre")
    end = y + HEIGHT_PT + 6 + line_height(SMALL_PT)
    sheet.text(left + width / 2, end, chart.x_label, SMALL_PT, MUTED_COLOUR, "centre")
    if chart.mark is not None:
        sheet.rectangle(x_position(chart.mark[0]) - 0.4, y, 0.8, HEIGHT_PT, HAIRLINE_COLOUR)
        sheet.text(
            x_position(chart.mark[0]), y - line_height(SMALL_PT), chart.mark[1], SMALL_PT, MUTED_COLOUR, "centre"
        )
    names = []
    for colour, curve in zip(COLOURS, chart.curves, strict=False):
        positions = [(x_position(a), y_position(v)) for a, v in curve.points if v is not None and math.isfinite(v)]
        if positions:
            _draw_line(sheet, positions, colour)
            names.append((positions[-1][1] - 0.7 * BODY_PT, curve.name, colour))
    _draw_names(sheet, left + width + 12, names)
    return end + line_height(SMALL_PT)


def _draw_names(sheet: Sheet, x: float, names: Sequence[tuple[float, str, str]]) -> None:
    """Draw the names beside the ends of their curves, moved down where they would overlap."""
    lowest = -math.inf
    for y, name, colour in sorted(names):
        y = max(y, lowest)
        sheet.text(x, y, sheet.fit_text(name, BODY_PT, NAME_WIDTH_PT - 12), BODY_PT, colour)
        lowest = y + line_height(BODY_PT)


def _draw_line(sheet: Sheet, positions: Sequence[tuple[float, float]], colour: str) -> None:
    """Draw an anti-aliased line through the points, with a dot on each if there are few."""
    pad = 6.0
    left, top = min(a for a, _ in positions) - pad, min(b for _, b in positions) - pad
    width, height = max(a for a, _ in positions) + pad - left, max(b for _, b in positions) + pad - top
    size = sheet.pixels(width), sheet.pixels(height)
    oversampled = Image.new("L", (OVERSAMPLING * size[0], OVERSAMPLING * size[1]), 0)
    scale = OVERSAMPLING * sheet.density
    points = [((a - left) * scale, (b - top) * scale) for a, b in positions]
    draw = ImageDraw.Draw(oversampled)
    if len(points) > 1:
        draw.line(points, fill=255, width=round(1.7 * scale), joint="curve")
    if len(points) <= 30:
        r = 2.6 * scale
        for a, b in points:
            draw.ellipse((a - r, b - r, a + r, b + r), fill=255)
    sheet.image.paste(colour, (sheet.pixels(left), sheet.pixels(top)), oversampled.resize(size, Image.Resampling.BOX))


def axis_ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers, the first not above `low`, the last not below `high`."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough * (1 - 1e-9))
    begin, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(begin, end + 1)]


def _integer_ticks(first: float, last: float) -> list[float]:
    """Return some integers between the two ends, where space permits."""
    count = last - first
    if count > 8:
        step = next(s for s in (2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if count / s <= 6)
        return [a for a in range(0, int(last) + 1, step) if first < a <= last - step / 2]
    return [float(a) for a in range(math.ceil(first), int(last) + 1)]
