"""Choose a font for every character: the bundled one first, then whatever the system has for other scripts.

The bundled font is DejaVu Sans Condensed 2.37, unmodified, so that a panel looks the same on every machine. It has
Latin with all its accents, Greek, Cyrillic, Hebrew, Arabic, Armenian, Georgian, arrows and mathematical signs, but no
Chinese, Japanese or Korean, whose fonts are too large to bundle. Those come from a font of the system, or from the
font file that the environment variable `CAMLUCIDA_FONT` names.
"""

from __future__ import annotations

import os
import sys
import unicodedata
import warnings
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageFont

BUNDLED_FONT = Path(__file__).parent / "dejavu" / "DejaVuSansCondensed.ttf"

FONT_VARIABLE = "CAMLUCIDA_FONT"
"""The environment variable with the path of a font file that is asked after the bundled font, before the system's."""

SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "NotoSansSC-Regular.ttf",
    "SourceHanSans-Regular.ttc",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "uming.ttc",
    "NotoSansJP-Regular.otf",
    "ipag.ttf",
    "fonts-japanese-gothic.ttf",
    "NotoSansKR-Regular.otf",
    "NanumGothic.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "AppleSDGothicNeo.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "simsun.ttc",
    "YuGothM.ttc",
    "msgothic.ttc",
    "malgun.ttf",
    "NotoSansThai-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "Nirmala.ttc",
    "Nirmala.ttf",
    "LeelawUI.ttf",
    "FreeSans.ttf",
    "unifont.otf",
    "unifont.ttf",
)
"""File names that Linux distributions, macOS and Windows use for fonts of other scripts, in the order of preference."""

PROBE_PX = 24
NO_CHARACTER = "\uffff"
"""A code point that Unicode will never assign: every font draws its "missing glyph" for it."""


@lru_cache(maxsize=256)
def load_font(size: float, path: Path = BUNDLED_FONT) -> ImageFont.FreeTypeFont:
    """Return a font at a size.

    Args:
        size: The size of type, in pixels; at least 1 is used.
        path: The font file.

    Returns:
        The font, which is shared between callers.
    """
    return ImageFont.truetype(str(path), max(size, 1.0))


@lru_cache(maxsize=65536)
def font_for(character: str) -> Path | None:
    """Return the first font file that has a character.

    Args:
        character: One character.

    Returns:
        The bundled font, or else the font that `CAMLUCIDA_FONT` names, or else one of the system; None if no font has
        a glyph for it.
    """
    if _has_glyph(BUNDLED_FONT, character):
        return BUNDLED_FONT
    return next((path for path in fallback_fonts() if _has_glyph(path, character)), None)


@lru_cache(maxsize=1)
def fallback_fonts() -> tuple[Path, ...]:
    """Return the fonts for what the bundled one lacks, best first. The folders of fonts are searched once a process."""
    paths: dict[str, Path] = {}
    for folder in font_folders():
        for parent, _, names in os.walk(folder):
            for name in names:
                paths.setdefault(name.lower(), Path(parent) / name)
    chosen = [paths[name.lower()] for name in SYSTEM_FONTS if name.lower() in paths]
    own = os.environ.get(FONT_VARIABLE)
    if own and not _can_open(Path(own)):
        warnings.warn(f"{FONT_VARIABLE} is {own!r}, which is no font file that can be read: ignored.", stacklevel=2)
        own = None
    return tuple(path for path in ([Path(own)] if own else []) + chosen if _can_open(path))


def font_folders() -> list[Path]:
    """Return the folders where this operating system keeps fonts; those that do not exist are harmless."""
    home = Path.home()
    if sys.platform == "win32":
        user = Path(os.environ.get("LOCALAPPDATA", str(home))) / "Microsoft" / "Windows" / "Fonts"
        return [user, Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"]
    if sys.platform == "darwin":
        return [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    own = os.environ.get("XDG_DATA_HOME") or str(home / ".local/share")
    return [home / ".fonts", *(Path(folder) / "fonts" for folder in (own, *shared.split(":")) if folder)]


def font_runs(text: str) -> list[tuple[str, Path]]:
    """Split a text into stretches of one font each.

    Args:
        text: What is to be drawn. A mark that combines with the character before it stays with that character, and a
            character that no font has is left to the bundled font.

    Returns:
        The stretches with their font files, in order; joined they are the text.
    """
    paths: list[Path] = []
    for character in text:
        if paths and unicodedata.combining(character):
            paths.append(paths[-1])
        else:
            paths.append(font_for(character) or BUNDLED_FONT)
    stretches = groupby(zip(text, paths, strict=True), key=lambda pair: pair[1])
    return [("".join(character for character, _ in pairs), path) for path, pairs in stretches]


def _has_glyph(path: Path, character: str) -> bool:
    """Compare with what the font draws for a character that it cannot have: Pillow does not say which it has."""
    return _glyph_mask(path, character) != _glyph_mask(path, NO_CHARACTER)


@lru_cache(maxsize=64)
def _probe_font(path: Path) -> ImageFont.FreeTypeFont:
    """Return a font without Raqm, which refuses line breaks and replaces some characters before it looks them up."""
    return ImageFont.truetype(str(path), PROBE_PX, layout_engine=ImageFont.Layout.BASIC)


def _glyph_mask(path: Path, character: str) -> tuple[tuple[int, int], float, bytes]:
    probe = _probe_font(path)
    mask = probe.getmask(character)
    return mask.size, probe.getlength(character), bytes(mask)


def _can_open(path: Path) -> bool:
    try:
        _probe_font(path)
    except (OSError, ValueError):
        return False
    return True
