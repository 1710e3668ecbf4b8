"""Words on pictures: the font, what it can draw, measuring, cutting, wrapping.

The font is Aileron Regular (CC0), which comes with Pillow, so that a panel looks the same everywhere. It has
111 characters; `drawable` writes the rest in the nearest letters it has.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont

DRAWABLE = frozenset(map(chr, range(32, 127))) | set("©«°±´·»‘’“”…‹›⁄™")

WRITTEN = {
    "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-", "×": "x", "→": "->", "←": "<-", "≤": "<=", "≥": ">=",
    "≈": "~", "≠": "!=", "•": "·", "µ": "u", "∞": "inf", "√": "sqrt", "\t": " ", "\n": " ", "\r": " ",
    "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "đ": "d",
    "Đ": "D", "ð": "d", "þ": "th", "ı": "i", "„": "“", "′": "'", "″": '"', "\u200b": "", "\u200d": "",
    "\ufeff": "", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "λ": "lambda",
    "μ": "u", "σ": "sigma", "Δ": "Delta", "Σ": "Sum",
}  # fmt: skip
"""What stands for a character that the font lacks and that is no letter with an accent."""

UNKNOWN = "?"


@lru_cache
def font(size: float) -> ImageFont.FreeTypeFont:
    """The built-in font, `size` pixels high."""
    return ImageFont.load_default(max(size, 1.0))  # type: ignore[return-value] # FreeType whenever a size is given


def drawable(text: str) -> str:
    """The same text in characters that the font has: é as e, × as x, 猫 as ?, several ? as one."""
    letters: list[str] = []
    for character in text:
        written = _written(character)
        if written != UNKNOWN or character == UNKNOWN or letters[-1:] != [UNKNOWN]:
            letters.append(written)
    return "".join(letters).strip()


def _written(character: str) -> str:
    if character in DRAWABLE:
        return character
    if character in WRITTEN:
        return WRITTEN[character]
    if unicodedata.category(character) in ("Mn", "Cc", "Cf"):
        return ""
    parts = unicodedata.normalize("NFKD", character)
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return plain if plain and all(part in DRAWABLE for part in plain) else UNKNOWN


def width(text: str, size: float) -> float:
    """How far the text reaches to the right, in pixels."""
    return font(size).getlength(text)


def cut(text: str, size: float, room: float) -> str:
    """The text, or as much of its beginning as fits into `room` pixels with an ellipsis behind it."""
    if width(text, size) <= room:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if width(_shortened(text, middle), size) <= room:
            fits = middle
        else:
            too_long = middle
    return _shortened(text, fits) if fits else ""


def _shortened(text: str, length: int) -> str:
    return text[:length].rstrip(" ,.;:-·(") + "…"


def cut_name(name: str, size: float, room: float) -> str:
    """A class name that fits: ImageNet's lists of synonyms lose the last ones first, then letters go."""
    synonyms = name.split(",")
    for count in range(len(synonyms), 0, -1):
        shorter = ",".join(synonyms[:count])
        if width(shorter, size) <= room:
            return shorter
    return cut(synonyms[0], size, room)


def wrap(text: str, size: float, room: float, lines: int) -> list[str]:
    """At most `lines` lines that fit into `room` pixels; what is left over ends in an ellipsis."""
    words = text.split()
    wrapped: list[str] = []
    while words and len(wrapped) < lines - 1:
        count = 1
        while count < len(words) and width(" ".join(words[: count + 1]), size) <= room:
            count += 1
        wrapped.append(cut(" ".join(words[:count]), size, room))
        words = words[count:]
    return [*wrapped, cut(" ".join(words), size, room)] if words else wrapped


def number(value: float) -> str:
    """Three figures, as short as possible: 12.3, 0.00456, 1.2e+06, 0."""
    if value != value:
        return "?"
    return f"{value:.3g}".replace("e+0", "e+").replace("e-0", "e-") if value else "0"


def percent(probability: float) -> str:
    """87.3 %; never "0.0 %" or "100.0 %" for what is neither 0 nor 1; "?" for NaN."""
    if probability != probability:
        return "?"
    if 0 < probability < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"
