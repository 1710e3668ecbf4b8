"""Curves on paper: how a few numbers went from step to step, each in a chart with its names beside the lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from camlucida.errors import MethodError
from camlucida.render.sheet import (
    ACCENT,
    BODY,
    GUTTER,
    HAIRLINE,
    INK,
    MARGIN,
    MUTED,
    SMALL,
    Sheet,
    heading,
    line_height,
)
from camlucida.render.sheet import footer as set_footer

WIDTH, HEIGHT = 340.0, 210.0
SCALE_ROOM, NAME_ROOM = 46.0, 92.0
COLOURS = (INK, ACCENT, "#2f6db3")
FINER = 4
"""Lines are drawn so many times as large, as Pillow's own are jagged."""


@dataclass(frozen=True)
class Curve:
    """(x, y) of the points, in their order; None where there is no number."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Chart:
    """One frame with its curves, three at most.

    bottom, top   of the scale; None for what the numbers need
    mark          an x that is pointed out, with what is written at it
    """

    title: str
    curves: Sequence[Curve]
    across: str
    bottom: float | None = None
    top: float | None = None
    mark: tuple[float, str] | None = None


def charts(
    frames: Sequence[Chart], *, title: str, subtitle: str = "", footer: str = "", density: float = 2.0
) -> Image.Image:
    """A page of charts side by side.

    returns   RGB, `density` pixels a point
    raises    MethodError where there is nothing to draw
    """
    if not any(y is not None for frame in frames for curve in frame.curves for _, y in curve.points):
        raise MethodError("no numbers: there is no curve to draw.")
    room = len(frames) * WIDTH + (len(frames) - 1) * 2 * GUTTER
    sheet = Sheet(room + 2 * MARGIN, density)
    y = heading(sheet, MARGIN, MARGIN - 10, room, (title, subtitle), "") + GUTTER
    ends = [_draw(sheet, MARGIN + i * (WIDTH + 2 * GUTTER), y, frame) for i, frame in enumerate(frames)]
    return sheet.trimmed(set_footer(sheet, max(ends), footer))


def _draw(sheet: Sheet, x: float, y: float, frame: Chart) -> float:
    sheet.text(x, y, frame.title, BODY, INK, bold=True)
    y += line_height(BODY) + 10
    left, width = x + SCALE_ROOM, WIDTH - SCALE_ROOM - NAME_ROOM
    every = [point for curve in frame.curves for point in curve.points]
    values = [v for _, v in every if v is not None and math.isfinite(v)]
    ticks = ticks_of(
        min(values, default=0.0) if frame.bottom is None else frame.bottom,
        max(values, default=1.0) if frame.top is None else frame.top,
    )
    low, high = ticks[0], ticks[-1]
    first, last = min(a for a, _ in every), max(a for a, _ in every)

    def across(value: float) -> float:
        return left + (width * (value - first) / (last - first) if last > first else width / 2)

    def down(value: float) -> float:
        return y + HEIGHT * (1 - (min(max(value, low), high) - low) / (high - low))

    for tick in ticks:
        sheet.rule(left, down(tick), width)
        sheet.text(left - 8, down(tick) - 0.7 * SMALL, f"{tick:.4g}", SMALL, MUTED, "right")
    for at in sorted({first, last, *_whole(first, last)}):
        sheet.text(across(at), y + HEIGHT + 6, f"{at:g}", SMALL, MUTED, "centre")
    end = y + HEIGHT + 6 + line_height(SMALL)
    sheet.text(left + width / 2, end, frame.across, SMALL, MUTED, "centre")
    if frame.mark is not None:
        sheet.block(across(frame.mark[0]) - 0.4, y, 0.8, HEIGHT, HAIRLINE)
        sheet.text(across(frame.mark[0]), y - line_height(SMALL), frame.mark[1], SMALL, MUTED, "centre")
    names = []
    for colour, curve in zip(COLOURS, frame.curves, strict=False):
        places = [(across(a), down(v)) for a, v in curve.points if v is not None and math.isfinite(v)]
        if places:
            _line(sheet, places, colour)
            names.append((places[-1][1] - 0.7 * BODY, curve.name, colour))
    _names(sheet, left + width + 12, names)
    return end + line_height(SMALL)


def _names(sheet: Sheet, x: float, names: Sequence[tuple[float, str, str]]) -> None:
    """Beside the ends of their lines, moved down where they would meet."""
    lowest = -math.inf
    for y, name, colour in sorted(names):
        y = max(y, lowest)
        sheet.text(x, y, sheet.fits(name, BODY, NAME_ROOM - 12), BODY, colour)
        lowest = y + line_height(BODY)


def _line(sheet: Sheet, places: Sequence[tuple[float, float]], colour: str) -> None:
    """A smooth line through the places, with a dot on each where there are few."""
    pad = 6.0
    left, top = min(a for a, _ in places) - pad, min(b for _, b in places) - pad
    wide, high = max(a for a, _ in places) + pad - left, max(b for _, b in places) + pad - top
    size = sheet.pixels(wide), sheet.pixels(high)
    fine = Image.new("L", (FINER * size[0], FINER * size[1]), 0)
    scale = FINER * sheet.density
    points = [((a - left) * scale, (b - top) * scale) for a, b in places]
    draw = ImageDraw.Draw(fine)
    if len(points) > 1:
        draw.line(points, fill=255, width=round(1.7 * scale), joint="curve")
    if len(points) <= 30:
        r = 2.6 * scale
        for a, b in points:
            draw.ellipse((a - r, b - r, a + r, b + r), fill=255)
    sheet.image.paste(colour, (sheet.pixels(left), sheet.pixels(top)), fine.resize(size, Image.Resampling.BOX))


def ticks_of(low: float, high: float) -> list[float]:
    """Round numbers, about five, the first not above `low`, the last not below `high`."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough * (1 - 1e-9))
    begin, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(begin, end + 1)]


def _whole(first: float, last: float) -> list[float]:
    """Some whole numbers between the two, where there is room for them."""
    count = last - first
    if count > 8:
        step = next(s for s in (2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if count / s <= 6)
        return [a for a in range(0, int(last) + 1, step) if first < a <= last - step / 2]
    return [float(a) for a in range(math.ceil(first), int(last) + 1)]
