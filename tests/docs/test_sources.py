"""The table of sources: complete, without differences, and the same when it is computed again."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from camlucida.methods import methods

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "sources" / "index.md"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sources", ROOT / "docs" / "sources.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["sources"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| [`")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0].split("`")[1]: row[1:] for row in cells}


def test_every_method_has_a_row_and_every_letter_a_reason() -> None:
    table, text = rows(), PAGE.read_text(encoding="utf-8")
    assert set(table) == set(methods())
    letters = {cell for row in table.values() for cell in row} - {"✓"}
    assert all(f"- **{letter}**: " in text for letter in letters)


def test_no_map_differs_from_that_of_the_torch_network() -> None:
    assert all(cell == "✓" or cell.isalpha() for row in rows().values() for cell in row)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") != "torch", reason="the table is computed with torch")
@pytest.mark.parametrize("source", ["Keras (torch)", "ONNX", "TorchScript", "function"])
def test_a_column_is_what_is_computed(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script()
    chosen = {name: method for name, method in methods().items() if name in ("cam", "gradient", "occlusion", "lrp")}
    monkeypatch.setattr(module, "methods", lambda: chosen)
    network = module.SmallNetwork().eval()
    expected, found = module.maps_of(network), module.maps_of(module.model_makers(network)[source]())
    column = module.SOURCES.index(source)
    for name in chosen:
        cell = rows()[name][column]
        difference = module._difference(found[name], expected[name])
        assert (cell == "✓") == (not isinstance(difference, str) and difference <= module.TOLERANCE), name
