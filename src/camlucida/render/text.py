"""Text on images: available characters, measuring, drawing, truncating, wrapping, and formatting of numbers."""

from __future__ import annotations

import math
import unicodedata

from PIL import ImageDraw

from camlucida.render.fonts import font_for, font_runs, load_font

MISSING = "□"
"""Replacement for a character that neither the bundled font nor a font of the system has."""

EMPTY_MAP = "the map is empty"
"""Caption of a map without any value that is displayed, whose overlay is the image itself."""
BOLD_STROKE = 1 / 56
"""How far a bold letter extends beyond its outline, as a fraction of the font size."""


def drawable(text: str) -> str:
    """Return a text in characters that some font has.

    Args:
        text: Any text, such as the name of a class.

    Returns:
        The text with composed accents, line breaks and tabs as spaces, and without invisible characters. A character
        without a glyph is replaced by its compatibility decomposition if there is one (ﬁ by fi), and otherwise by □,
        one for each, so that missing characters are visible.
    """
    return "".join(map(_drawable, unicodedata.normalize("NFC", text))).strip()


def _drawable(character: str) -> str:
    if character in "\t\n\r\u2028\u2029":
        return " "
    if unicodedata.category(character) in ("Cc", "Cf"):
        return ""
    if font_for(character):
        return character
    if unicodedata.category(character) == "Mn":
        return ""
    parts = unicodedata.normalize("NFKD", character)
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return plain if plain and all(map(font_for, plain)) else MISSING


def text_width(text: str, size: float) -> float:
    """Return the width of a text in pixels at a font size in pixels, each run in the font that has its characters."""
    return sum(load_font(size, path).getlength(stretch) for stretch, path in font_runs(text))


def draw_text(
    canvas: ImageDraw.ImageDraw,
    x: float,
    baseline: float,
    text: str,
    size: float,
    colour: str,
    *,
    bold: bool = False,
) -> None:
    """Draw one line of text.

    Args:
        canvas: The canvas.
        x: Left end of the line, in pixels.
        baseline: The y of the baseline, in pixels.
        text: The line, in characters that `drawable` returns.
        size: Font size in pixels.
        colour: Any colour that Pillow knows.
        bold: Whether to thicken the letters, because the fonts have one weight. Their widths do not change.
    """
    stroke_width = size * BOLD_STROKE if bold else 0
    for stretch, path in font_runs(text):
        run_font = load_font(size, path)
        canvas.text((x, baseline), stretch, fill=colour, font=run_font, anchor="ls", stroke_width=stroke_width)
        x += run_font.getlength(stretch)


def truncate(text: str, size: float, max_width: float) -> str:
    """Return the text, truncated with an ellipsis if it exceeds `max_width` pixels."""
    if text_width(text, size) <= max_width:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if text_width(_with_ellipsis(text, middle), size) <= max_width:
            fits = middle
        else:
            too_long = middle
    return _with_ellipsis(text, fits) if fits else ""


def _with_ellipsis(text: str, length: int) -> str:
    return text[:length].rstrip(" ,.;:-·(") + "…"


def truncate_name(name: str, size: float, max_width: float) -> str:
    """Return a class name that fits: the last of ImageNet's synonyms are removed first, then letters."""
    synonyms = name.split(",")
    for count in range(len(synonyms), 0, -1):
        shorter = ",".join(synonyms[:count])
        if text_width(shorter, size) <= max_width:
            return shorter
    return truncate(synonyms[0], size, max_width)


def wrap_lines(text: str, size: float, max_width: float, max_lines: int) -> list[str]:
    """Return the text as at most `max_lines` lines of `max_width` pixels, the last one truncated with an ellipsis."""
    words = text.split()
    wrapped: list[str] = []
    while words and len(wrapped) < max_lines - 1:
        count = 1
        while count < len(words) and text_width(" ".join(words[: count + 1]), size) <= max_width:
            count += 1
        wrapped.append(truncate(" ".join(words[:count]), size, max_width))
        words = words[count:]
    return [*wrapped, truncate(" ".join(words), size, max_width)] if words else wrapped


def format_number(value: float) -> str:
    """Return a number with three significant digits: 12.3, 0.00456, 1.2e+06, 0."""
    if value != value:
        return "?"
    return f"{value:.3g}".replace("e+0", "e+").replace("e-0", "e-") if value else "0"


def format_percent(probability: float) -> str:
    """Return a percentage such as 87.3 %; never "0.0 %" or "100.0 %" for a value between; "?" for NaN."""
    if probability != probability:
        return "?"
    if 0 < probability < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"


def format_confidence(probability: float | None, value: float, decimals: int = 0) -> str:
    """Return a probability such as 87%, or the value of a class that has none (regression), such as 3.21."""
    return format_number(value) if probability is None else f"{probability:.{decimals}%}"


def format_nats(drop: float) -> str:
    """Return a drop in nats with two decimals, never as -0.00."""
    return f"{round(drop, 2) + 0.0:.2f}"


def format_p(p: float) -> str:
    """Return a p-value with three decimals; ties are rounded up (0.0625 is 0.063)."""
    return f"{math.floor(1000 * p + 0.5) / 1000:.3f}"
