"""Font selection for every character: the bundled font first, then the system's fonts for other scripts.

The bundled font is DejaVu Sans Condensed 2.37, unmodified, so that figures look the same on every machine. It covers
accented Latin, Greek, Cyrillic, Hebrew, Arabic, Armenian, Georgian, arrows and mathematical signs, but not Chinese,
Japanese or Korean, whose fonts are too large to bundle. For those a system font is used, or the font file that the
environment variable `CAMLUCIDA_FONT` names.
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
"""Environment variable with the path of a font file that is tried after the bundled font and before the system's."""

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
"""File names of fonts for other scripts on Linux, macOS and Windows, in order of preference."""

PROBE_PX = 24
NO_CHARACTER = "\uffff"
"""A code point that Unicode will never assign: every font draws its "missing glyph" for it."""


@lru_cache(maxsize=256)
def load_font(size: float, path: Path = BUNDLED_FONT) -> ImageFont.FreeTypeFont:
    """Return a font at a size.

    Args:
        size: Font size in pixels; at least 1 is used.
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
    """Return the fallback fonts, best first. The font folders are searched once per process."""
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
    """Return the font folders of this operating system; some may not exist."""
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
    """Split a text into runs of one font each.

    Args:
        text: The text. A combining mark stays with the character before it, and a character that no font has is
            assigned to the bundled font.

    Returns:
        The runs with their font files, in order; joined they are the text.
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
    """Return whether a font's glyph differs from its glyph for a missing character; Pillow does not report which it
    has.
    """
    return _glyph_mask(path, character) != _glyph_mask(path, NO_CHARACTER)


@lru_cache(maxsize=64)
def _probe_font(path: Path) -> ImageFont.FreeTypeFont:
    """Return a font without Raqm, which rejects line breaks and replaces some characters before looking them up."""
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
