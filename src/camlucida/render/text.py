"""Text on images: which characters can be drawn, measuring, drawing, cutting, wrapping, and numbers as text."""

from __future__ import annotations

import unicodedata

from PIL import ImageDraw

from camlucida.render.fonts import font_for, font_runs, load_font

MISSING = "□"
"""Stands for each character that neither the bundled font nor a font of the system has."""

BOLD_STROKE = 1 / 56
"""How far a bold letter reaches beyond its outline, as a fraction of the size of type."""


def drawable(text: str) -> str:
    """Return a text in characters that some font has.

    Args:
        text: Any text, such as the name of a class.

    Returns:
        The text with its accents composed, line breaks and tabs as spaces, and without characters that have no look of
        their own. A character without a glyph is written in plainer ones where Unicode names them (ﬁ as fi), and as □
        where not, one for each, so that it can be seen that something is missing.
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
    """Return how wide a text is, in pixels, set at `size` pixels; each stretch in the font that has its characters."""
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
        canvas: What to draw on.
        x: Where the line begins, in pixels.
        baseline: Where its letters stand, in pixels.
        text: The line, in characters that `drawable` returns.
        size: The size of type, in pixels.
        colour: Any colour that Pillow knows.
        bold: Whether to thicken the letters: the fonts come in one weight. Their widths do not change.
    """
    stroke_width = size * BOLD_STROKE if bold else 0
    for stretch, path in font_runs(text):
        run_font = load_font(size, path)
        canvas.text((x, baseline), stretch, fill=colour, font=run_font, anchor="ls", stroke_width=stroke_width)
        x += run_font.getlength(stretch)


def truncate(text: str, size: float, max_width: float) -> str:
    """The text, or as much of its beginning as fits into `room` pixels with an ellipsis behind it."""
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
    """A class name that fits: ImageNet's lists of synonyms lose the last ones first, then letters go."""
    synonyms = name.split(",")
    for count in range(len(synonyms), 0, -1):
        shorter = ",".join(synonyms[:count])
        if text_width(shorter, size) <= max_width:
            return shorter
    return truncate(synonyms[0], size, max_width)


def wrap_lines(text: str, size: float, max_width: float, max_lines: int) -> list[str]:
    """At most `lines` lines that fit into `room` pixels; what is left over ends in an ellipsis."""
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
    """Three figures, as short as possible: 12.3, 0.00456, 1.2e+06, 0."""
    if value != value:
        return "?"
    return f"{value:.3g}".replace("e+0", "e+").replace("e-0", "e-") if value else "0"


def format_percent(probability: float) -> str:
    """87.3 %; never "0.0 %" or "100.0 %" for what is neither 0 nor 1; "?" for NaN."""
    if probability != probability:
        return "?"
    if 0 < probability < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"


def format_nats(drop: float) -> str:
    """Return a drop in nats with two decimals, never as -0.00."""
    return f"{round(drop, 2) + 0.0:.2f}"
