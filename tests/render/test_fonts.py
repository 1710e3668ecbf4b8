"""Characters on images, compared with the character maps that fonttools reads from the font files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camlucida.render import fonts, text
from camlucida.render.canvas import Sheet
from camlucida.render.panel import draw_panel
from camlucida.render.probability_bars import Bar

HAN = Path(__file__).parent / "fonts" / "six-han-characters.ttf"
SAMPLES = ("Résumé – café × 2", "Łódź, Ærø, Straße", "Ελληνικά: γάτα αβγδ", "Кошка и собака", "→ ≤ ≥ ∞ √ ½ µ ′")


@pytest.fixture
def no_system_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Simulate a system without fonts, with empty caches."""
    monkeypatch.setattr(fonts, "font_folders", list)
    monkeypatch.delenv(fonts.FONT_VARIABLE, raising=False)
    clear_caches()
    yield
    monkeypatch.undo()
    clear_caches()


@pytest.fixture
def han_font(no_system_fonts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fonts.FONT_VARIABLE, str(HAN))


def clear_caches() -> None:
    fonts.fallback_fonts.cache_clear()
    fonts.font_for.cache_clear()


def rendered(line: str) -> np.ndarray:
    sheet = Sheet(400, 2)
    sheet.text(10, 10, line)
    return np.asarray(sheet.trimmed(40))


@pytest.mark.parametrize("line", SAMPLES)
def test_common_scripts_are_in_the_bundled_font(line: str, no_system_fonts: None) -> None:
    assert text.drawable(line) == line
    assert {path for _, path in fonts.font_runs(line)} == {fonts.BUNDLED_FONT}


def test_glyphs_are_those_of_the_character_map(no_system_fonts: None) -> None:
    ttlib = pytest.importorskip("fontTools.ttLib")
    characters = [chr(code) for code in (*range(0x21, 0x600), *range(0x4E00, 0x4E80), *range(0x1F600, 0x1F610))]
    character_map = ttlib.TTFont(fonts.BUNDLED_FONT).getBestCmap()
    assert [c for c in characters if (fonts.font_for(c) is not None) != (ord(c) in character_map)] == []
    assert "猫" not in map(chr, character_map)
    assert set(ttlib.TTFont(HAN).getBestCmap()) >= set(map(ord, "猫狗鸟犬日本"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [("猫狗 cat", "□□ cat"), ("a\nb", "a b"), ("Ａ１", "A1"), ("e\u0301", "é"), ("why??", "why??"),
     ("a\u200bb\ufeff", "ab"), ("\x00\x1b", ""), ("\U000e0041", ""), ("\ud800", "□")],
)  # fmt: skip
def test_missing_characters_are_replaced(line: str, expected: str, no_system_fonts: None) -> None:
    assert text.drawable(line) == expected
    rendered(line)


def test_chinese_is_drawn_with_a_fallback_font(han_font: None) -> None:
    assert text.drawable("猫 and 狗") == "猫 and 狗"
    assert fonts.font_runs("猫狗 cat 鸟") == [("猫狗", HAN), (" cat ", fonts.BUNDLED_FONT), ("鸟", HAN)]
    assert (rendered("猫") != rendered("狗")).any()
    assert (rendered("猫") != rendered("□")).any()
    assert text.text_width("猫狗鸟", 20) == pytest.approx(60, abs=3)  # Han characters are as wide as they are high
    assert text.text_width("猫cat", 20) == pytest.approx(text.text_width("猫", 20) + text.text_width("cat", 20))


def test_system_fonts_are_found_by_their_names(
    no_system_fonts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cjk").mkdir()
    (tmp_path / "wqy-zenhei.ttc").write_bytes(b"not a font")
    (tmp_path / "cjk" / "DroidSansFallback.ttf").write_bytes(HAN.read_bytes())
    monkeypatch.setattr(fonts, "font_folders", lambda: [tmp_path / "none", tmp_path])
    assert fonts.fallback_fonts() == (tmp_path / "cjk" / "DroidSansFallback.ttf",)
    assert text.drawable("猫") == "猫"


def test_unreadable_font_is_reported(no_system_fonts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fonts.FONT_VARIABLE, str(tmp_path / "none.ttf"))
    with pytest.warns(UserWarning, match=r"CAMLUCIDA_FONT is .*none\.ttf"):
        assert text.drawable("猫") == "□"


def test_combining_mark_has_the_font_of_its_letter(han_font: None) -> None:
    assert fonts.font_runs("猫\u0301x") == [("猫\u0301", HAN), ("x", fonts.BUNDLED_FONT)]


@pytest.mark.parametrize("name", ["γάτα", "кошка", "猫", "chat éléphant"])
def test_panel_draws_class_names_of_any_script(name: str, no_system_fonts: None) -> None:
    image, heatmap = Image.new("RGB", (64, 64), "teal"), np.zeros((64, 64), np.float32)
    page = draw_panel(image, heatmap, [Bar(name, 0.9, True), Bar("", 0.1)], title=name, density=1)
    unnamed = draw_panel(image, heatmap, [Bar("", 0.9, True), Bar("", 0.1)], title="", density=1)
    assert page.size != unnamed.size or (np.asarray(page) != np.asarray(unnamed)).any()
