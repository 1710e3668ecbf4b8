"""The verdict on a map on one page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida.maps import max_scale, to_image_grid
from camlucida.render.canvas import (
    ACCENT_COLOUR,
    BODY_PT,
    GUTTER_PT,
    HAIRLINE_COLOUR,
    MARGIN_PT,
    MUTED_COLOUR,
    QUIET_COLOUR,
    SMALL_PT,
    TEXT_COLOUR,
    Sheet,
    draw_footer,
    draw_heading,
    draw_paragraph,
    line_height,
)
from camlucida.render.overlay import overlay
from camlucida.render.probability_bars import draw_label
from camlucida.render.regions import draw_region
from camlucida.render.resize import display_size, resize_heatmap, resize_image, to_image
from camlucida.render.text import format_nats, format_p

if TYPE_CHECKING:
    from camlucida.reliability.position_test import PositionTest
    from camlucida.reliability.result import Trust
    from camlucida.reliability.similarity import ClassSimilarity
    from camlucida.types import Region

COLUMN_WIDTH, MAX_HEIGHT = 300.0, 340.0
SMALL_COLUMN_WIDTH = 177.0
SMALL_MAX_HEIGHT = 200.0
N_BINS = 24
BAR_GAP = 1.5
CHART_HEIGHT = 150.0


def trust_panel(trust: Trust, *, density: float = 2.0, **style: Any) -> Image.Image:
    """Draw the overlay, the blurred region, the statistics, the maps used for comparison, and the results of all tests.

    Args:
        trust: The results of the tests.
        density: Pixels per point.
        **style: Options of `overlay`.

    Returns:
        The page, RGB.
    """
    sheet = Sheet(3 * COLUMN_WIDTH + 2 * GUTTER_PT + 2 * MARGIN_PT, density)
    width = sheet.width - 2 * MARGIN_PT
    title = f"Map: {trust.verdict.level}"
    subtitle = f"{trust.method} map of {trust.target} ({trust.probability:.1%}) · {trust.source}"
    y = draw_heading(sheet, MARGIN_PT, MARGIN_PT - 10, width, (title, subtitle)) + 8
    for reason in trust.verdict.reasons:
        y = draw_paragraph(sheet, MARGIN_PT, y, f"· {reason}", BODY_PT, ACCENT_COLOUR, width, max_lines=2)
    y = _draw_map(sheet, trust, y + 16, style)
    if trust.classes:
        y = _draw_similar_maps(sheet, trust, y + 22, style)
    y = _draw_rows(sheet, trust, y + 22)
    return sheet.trimmed(draw_footer(sheet, y, f"{trust.model} · {trust.source} · seed {trust.seed}"))


def _draw_map(sheet: Sheet, trust: Trust, y: float, style: dict[str, Any]) -> float:
    """Draw the overlay, the image with the region blurred, and the statistics; return the y at which they end."""
    saliency = max_scale(to_image_grid(trust.map, trust.geometry)).numpy()
    overlaid = _overlaid(sheet, trust, saliency, COLUMN_WIDTH, MAX_HEIGHT, style)
    end = _draw_image(sheet, MARGIN_PT, y, overlaid, "Overlay")
    x = MARGIN_PT + COLUMN_WIDTH + GUTTER_PT
    if trust.position_test is None:
        return end
    occluded = to_image(trust.occluded_pixels)
    occluded = _with_region(_resized(sheet, occluded, COLUMN_WIDTH, MAX_HEIGHT), occluded.size, trust.input_region)
    end = max(end, _draw_image(sheet, x, y, occluded, "Network input, highlighted region blurred"))
    return max(end, _draw_statistics(sheet, x + COLUMN_WIDTH + GUTTER_PT, y, trust.position_test))


def _draw_statistics(sheet: Sheet, x: float, y: float, test: PositionTest) -> float:
    """Draw a histogram of the test statistics of the transformed maps, with that of the map itself highlighted."""
    y = draw_label(sheet, x, y, "Importance where the map is high (s.d.)")
    statistics = test.statistics.numpy()
    low, high = min(0.0, float(statistics.min())), float(statistics.max())
    high = high if high > low else low + 1.0
    counts, _ = np.histogram(statistics[1:], N_BINS, (low, high))
    width = COLUMN_WIDTH / N_BINS
    base = y + CHART_HEIGHT
    for i, count in enumerate(counts):
        height = CHART_HEIGHT * 0.86 * count / max(1, counts.max())
        if count:
            sheet.rectangle(x + i * width, base - height, width - BAR_GAP, height, QUIET_COLOUR)
    sheet.rectangle(x, base, COLUMN_WIDTH, 0.75, HAIRLINE_COLOUR)
    at = x + COLUMN_WIDTH * (test.statistic - low) / (high - low)
    sheet.rectangle(min(at, x + COLUMN_WIDTH - 2), y, 2, CHART_HEIGHT, ACCENT_COLOUR)
    right = at > x + COLUMN_WIDTH / 2
    sheet.text(
        at - 5 if right else at + 7,
        y,
        f"this map: {format_nats(test.statistic)}",
        SMALL_PT,
        ACCENT_COLOUR,
        "right" if right else "left",
    )
    sheet.text(x, base + 3, format_nats(low), SMALL_PT, MUTED_COLOUR)
    sheet.text(x + COLUMN_WIDTH, base + 3, format_nats(high), SMALL_PT, MUTED_COLOUR, "right")
    caption = (
        f"Grey: {len(statistics) - 1} shifted, mirrored and rotated copies of the map. "
        f"p = {format_p(test.p)}, the fraction of all values that are at least as large."
    )
    return draw_paragraph(
        sheet, x, base + 3 + line_height(SMALL_PT), caption, SMALL_PT, MUTED_COLOUR, COLUMN_WIDTH, max_lines=3
    )


def _draw_similar_maps(sheet: Sheet, trust: Trust, y: float, style: dict[str, Any]) -> float:
    """Draw up to five small maps: the runner-up's, two random classes', and those of a noisy and a shifted copy.

    Returns:
        The y at which they end.
    """
    displayed: list[tuple[str, ClassSimilarity]] = [("Next class", trust.classes[0])]
    displayed += [("Random class", similarity) for similarity in trust.classes[1:3]]
    displayed += [("With noise", similarity) for similarity in trust.noise[:1]]
    displayed += [("With a shift", similarity) for similarity in trust.shifts[:1]]
    y, end = draw_label(sheet, MARGIN_PT, y, "Rank correlation with other maps"), y
    for i, (kind, similarity) in enumerate(displayed):
        x = MARGIN_PT + i * (SMALL_COLUMN_WIDTH + (sheet.width - 2 * MARGIN_PT - 5 * SMALL_COLUMN_WIDTH) / 4)
        saliency = max_scale(to_image_grid(similarity.map, trust.geometry)).numpy()
        overlaid = _overlaid(sheet, trust, saliency, SMALL_COLUMN_WIDTH, SMALL_MAX_HEIGHT, style)
        name = similarity.name if similarity.name not in ("noise", "shift") else "same class"
        correlation = "constant map" if math.isnan(similarity.correlation) else f"{similarity.correlation:.2f}"
        below = y + sheet.draw_image(x, y, overlaid, edge=True) + 4
        sheet.text(x, below, sheet.fit_name(f"{kind}: {name}", SMALL_PT, SMALL_COLUMN_WIDTH), SMALL_PT, MUTED_COLOUR)
        sheet.text(x, below + line_height(SMALL_PT), correlation, BODY_PT, TEXT_COLOUR, bold=True)
        end = max(end, below + line_height(SMALL_PT) + line_height(BODY_PT))
    return end


def _draw_rows(sheet: Sheet, trust: Trust, y: float) -> float:
    """Draw the tests with their results, one line each."""
    width = sheet.width - 2 * MARGIN_PT
    for name, result, details in trust.rows:
        sheet.rule(MARGIN_PT, y, width)
        y += 6
        sheet.text(MARGIN_PT, y, name[0].upper() + name[1:], BODY_PT, TEXT_COLOUR)
        sheet.text(MARGIN_PT + 200, y, sheet.fit_text(result, BODY_PT, 320), BODY_PT, TEXT_COLOUR, bold=True)
        sheet.text(MARGIN_PT + 535, y + 1.5, sheet.fit_text(details, SMALL_PT, width - 535), SMALL_PT, MUTED_COLOUR)
        y += line_height(BODY_PT) + 4
    return y


def _draw_image(sheet: Sheet, x: float, y: float, image: Image.Image, caption: str) -> float:
    below = y + sheet.draw_image(x, y, image, edge=True) + 6
    sheet.text(x, below, sheet.fit_text(caption, SMALL_PT, COLUMN_WIDTH), SMALL_PT, MUTED_COLOUR)
    return below + line_height(SMALL_PT)


def _overlaid(
    sheet: Sheet, trust: Trust, saliency: NDArray[Any], max_width: float, max_height: float, style: dict[str, Any]
) -> Image.Image:
    """Return the image with a map and the outline of the target's box or region."""
    resized = _resized(sheet, trust.image, max_width, max_height)
    overlaid = overlay(resized, resize_heatmap(saliency, resized.size), **style)
    return _with_region(overlaid, trust.image.size, trust.target_region)


def _with_region(image: Image.Image, size: tuple[int, int], region: Region | None) -> Image.Image:
    """Return a resized image with the outline of a region, in pixels of the image before, which had this size."""
    if region is None:
        return image
    return draw_region(image, region, scale=(image.width / size[0], image.height / size[1]))


def _resized(sheet: Sheet, image: Image.Image, max_width: float, max_height: float) -> Image.Image:
    return resize_image(image, display_size(image.size, (sheet.pixels(max_width), sheet.pixels(max_height))))
