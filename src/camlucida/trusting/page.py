"""The verdict on one page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.render.bars import label
from camlucida.render.display import show_heat, show_picture, shown_size
from camlucida.render.overlay import overlay
from camlucida.render.sheet import (
    ACCENT,
    BODY,
    GUTTER,
    HAIRLINE,
    INK,
    MARGIN,
    MUTED,
    QUIET,
    SMALL,
    Sheet,
    heading,
    line_height,
    paragraph,
)
from camlucida.render.sheet import footer as set_footer
from camlucida.tensors import land, scaled
from camlucida.trusting.agreement import Likeness
from camlucida.trusting.place import Place
from camlucida.trusting.value import to_image
from camlucida.trusting.verdict import nats

if TYPE_CHECKING:
    from camlucida.trusting.value import Trust

COLUMN, TALLEST = 300.0, 340.0
SMALL_COLUMN = 177.0
SMALL_TALLEST = 200.0
BINS = 24
BAR_GAP = 1.5
CHART = 150.0


def page(trust: Trust, *, density: float = 2.0, **look: Any) -> Image.Image:
    """What the map marks, what was blurred out, how the class fell; the maps it was compared with; every number.

    look   as of `overlay`
    """
    sheet = Sheet(3 * COLUMN + 2 * GUTTER + 2 * MARGIN, density)
    room = sheet.width - 2 * MARGIN
    belief, reasons = trust.verdict.belief, trust.verdict.reasons
    subtitle = f"{trust.target}, {trust.probability:.1%} · {trust.method} · {trust.source}"
    y = heading(sheet, MARGIN, MARGIN - 10, room, (belief[0].upper() + belief[1:], subtitle)) + 8
    for reason in reasons:
        y = paragraph(sheet, MARGIN, y, f"· {reason}", BODY, ACCENT, room, most=2)
    y = _above(sheet, trust, y + 16, look)
    if trust.classes:
        y = _relatives(sheet, trust, y + 22, look)
    y = _numbers(sheet, trust, y + 22)
    return sheet.trimmed(set_footer(sheet, y, f"{trust.model} · {trust.source} · seed {trust.seed}"))


def _above(sheet: Sheet, trust: Trust, y: float, look: dict[str, Any]) -> float:
    """The map on the picture, the picture without what it marks, the falls; returns where they end."""
    heat = scaled(land(trust.map, trust.geometry)).numpy()
    end = _picture(sheet, MARGIN, y, _coated(sheet, trust.picture, heat, COLUMN, TALLEST, look), "The map")
    x = MARGIN + COLUMN + GUTTER
    if trust.place is None:
        return end
    without = _plain(sheet, to_image(trust.blurred), COLUMN, TALLEST)
    end = max(end, _picture(sheet, x, y, without, "What it marks, blurred out, as the network sees it"))
    return max(end, _falls(sheet, x + COLUMN + GUTTER, y, trust.place))


def _falls(sheet: Sheet, x: float, y: float, place: Place) -> float:
    """How many moved maps cost the class how much; the map's own fall marked."""
    y = label(sheet, x, y, "How far the class falls, in nats")
    falls = place.falls.double().numpy()
    low, high = min(0.0, float(falls.min())), float(falls.max())
    high = high if high > low else low + 1.0
    counts, _ = np.histogram(falls[1:], BINS, (low, high))
    width = COLUMN / BINS
    base = y + CHART
    for i, count in enumerate(counts):
        tall = CHART * 0.86 * count / max(1, counts.max())
        if count:
            sheet.block(x + i * width, base - tall, width - BAR_GAP, tall, QUIET)
    sheet.block(x, base, COLUMN, 0.75, HAIRLINE)
    at = x + COLUMN * (place.fall - low) / (high - low)
    sheet.block(min(at, x + COLUMN - 2), y, 2, CHART, ACCENT)
    right = at > x + COLUMN / 2
    sheet.text(
        at - 5 if right else at + 7, y, f"the map: {nats(place.fall)}", SMALL, ACCENT, "right" if right else "left"
    )
    sheet.text(x, base + 3, nats(low), SMALL, MUTED)
    sheet.text(x + COLUMN, base + 3, nats(high), SMALL, MUTED, "right")
    words = f"grey: the same shape in {len(falls) - 1} other places; as large a fall in {place.p:.1%} of all"
    return paragraph(sheet, x, base + 3 + line_height(SMALL), words, SMALL, MUTED, COLUMN, most=3)


def _relatives(sheet: Sheet, trust: Trust, y: float, look: dict[str, Any]) -> float:
    """Five small maps: the runner-up's, a random class's, of a noisy and a shifted copy; returns where they end."""
    shown: list[tuple[str, Likeness]] = [("Next class", trust.classes[0])]
    shown += [("Random class", one) for one in trust.classes[1:3]]
    shown += [("Under noise", one) for one in trust.noise[:1]] + [("Under a shift", one) for one in trust.shifts[:1]]
    y, end = label(sheet, MARGIN, y, "The maps it was compared with, and the rank correlation"), y
    for i, (kind, one) in enumerate(shown):
        x = MARGIN + i * (SMALL_COLUMN + (sheet.width - 2 * MARGIN - 5 * SMALL_COLUMN) / 4)
        heat = scaled(land(one.map, trust.geometry)).numpy()
        drawn = _coated(sheet, trust.picture, heat, SMALL_COLUMN, SMALL_TALLEST, look)
        name = one.name if one.name not in ("noise", "shift") else "same class"
        alike = "no map" if math.isnan(one.correlation) else f"{one.correlation:.2f}"
        below = y + sheet.picture(x, y, drawn, edge=True) + 4
        sheet.text(x, below, sheet.name_fits(f"{kind}: {name}", SMALL, SMALL_COLUMN), SMALL, MUTED)
        sheet.text(x, below + line_height(SMALL), alike, BODY, INK, bold=True)
        end = max(end, below + line_height(SMALL) + line_height(BODY))
    return end


def _numbers(sheet: Sheet, trust: Trust, y: float) -> float:
    """The questions with their answers, a line each."""
    room = sheet.width - 2 * MARGIN
    for question, answer, how in trust.rows:
        sheet.rule(MARGIN, y, room)
        y += 6
        sheet.text(MARGIN, y, question[0].upper() + question[1:], BODY, INK)
        sheet.text(MARGIN + 200, y, sheet.fits(answer, BODY, 320), BODY, INK, bold=True)
        sheet.text(MARGIN + 535, y + 1.5, sheet.fits(how, SMALL, room - 535), SMALL, MUTED)
        y += line_height(BODY) + 4
    return y


def _picture(sheet: Sheet, x: float, y: float, picture: Image.Image, caption: str) -> float:
    below = y + sheet.picture(x, y, picture, edge=True) + 6
    sheet.text(x, below, sheet.fits(caption, SMALL, COLUMN), SMALL, MUTED)
    return below + line_height(SMALL)


def _coated(
    sheet: Sheet, picture: Image.Image, heat: NDArray[Any], wide: float, tall: float, look: dict[str, Any]
) -> Image.Image:
    photo = _plain(sheet, picture, wide, tall)
    return overlay(photo, show_heat(heat, photo.size), **look)


def _plain(sheet: Sheet, picture: Image.Image, wide: float, tall: float) -> Image.Image:
    return show_picture(picture, shown_size(picture.size, (sheet.pixels(wide), sheet.pixels(tall))))
