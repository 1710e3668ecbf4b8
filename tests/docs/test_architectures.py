"""The table of architectures: long enough, every ✗ with a reason, and the same when it is computed again."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architectures.md"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architectures", ROOT / "docs" / "architectures.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["architectures"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0].strip(): row for row in cells if ":" in row[0]}


def test_every_failure_has_a_reason() -> None:
    table, text = rows(), PAGE.read_text(encoding="utf-8")
    assert len(table) >= 150
    assert {name.partition(":")[0] for name in table} == {
        "torchvision",
        "torchvision.detection",
        "torchvision.segmentation",
        "transformers.detection",
        "torchvision.video",
        "timm",
        "transformers",
        "openclip",
        "smp",
        "monai",
        "ultralytics",
        "keras",
    }
    for name, row in table.items():
        assert "✗" not in " ".join(row) or f"- {name}: " in text, name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:vit_tiny_patch16_224", "transformers:Swin"])
def test_a_row_is_what_is_computed(name: str) -> None:
    module = script()
    (architecture,) = [one for one in module.architectures() if one.name == name]
    row, written = module.row_of(architecture), rows()[name]
    assert [f"`{row.layer}`", row.grid, row.influence, row.unmodified] == [
        written[1],
        written[2],
        written[4],
        written[6],
    ]
    assert row.equal.startswith("✓")
